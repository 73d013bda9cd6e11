// Jobs as tables of plain text.
import type { PruneReport } from '../../coordinator/prune-report.ts';
import type { Job } from '../client/cluster-client.ts';
import { parsed } from '../job-json.ts';
import { formatPercent, formatSeconds } from '../quantities.ts';
import { alignColumns, type Emphasis } from '../tables.ts';
import { plainText } from './plain-text.ts';

/** Digits of a campaign's id in lists: enough for the commands that take one. */
const SHORT_ID = 8;

/** One line a job. @param jobs at least one. */
export function renderJobs(jobs: readonly Job[], emphasis: Emphasis): string {
  const rows = jobs.map((job) => [
    job.id,
    `${plainText(job.campaignName)} ${job.campaignId.slice(0, SHORT_ID)}`,
    plainText(job.name),
    stateText(job) + (job.error === null ? '' : ` (${plainText(job.error.code)})`),
    String(job.priority),
    String(job.attempt),
    timeText(job),
  ]);
  return alignColumns([['id', 'campaign', 'name', 'state', 'priority', 'attempt', 'time'], ...rows], emphasis, 'left');
}

/** Everything about one job. */
export function renderJob(job: Job, emphasis: Emphasis): string {
  const rows = [
    ['id', job.id],
    ['name', plainText(job.name)],
    ['campaign', `${plainText(job.campaignName)} (${job.campaignId})`],
    ['state', stateText(job)],
    ['priority', String(job.priority)],
    ['attempt', String(job.attempt)],
    ['coordinator', plainText(job.owner) || '-'],
    ['created', job.createdAt],
    ['started', job.startedAt || '-'],
    ['finished', job.finishedAt || '-'],
    ['time', timeText(job)],
    ['stored stages', String(job.storedStages.length)],
    ...(job.error ? [['error', plainText(`[${job.error.code}] ${job.error.message}; ${job.error.action}`)]] : []),
    ...job.results.map(({ budget, reportJson }) => [`budget ${plainText(budget)}`, resultText(parsed(reportJson))]),
  ];
  return alignColumns(rows, (text) => (text === rows[0].join('  ') ? text : emphasis(text)), 'left');
}

export function stateText({ state, cancelRequested }: Job): string {
  return cancelRequested && (state === 'running' || state === 'queued') ? `${state}, to be cancelled` : state;
}

/** How long it ran, or runs. */
function timeText({ startedAt, finishedAt }: Job): string {
  if (startedAt === '') return '-';
  const end = finishedAt === '' ? Date.now() : Date.parse(finishedAt);
  const seconds = (end - Date.parse(startedAt)) / 1000;
  return Number.isFinite(seconds) ? formatSeconds(Math.max(0, seconds)) : '-';
}

/** Of the first that was measured; a report of an earlier version has none. */
function speedText(speed: PruneReport['speed'] | undefined): string {
  const first = Array.isArray(speed) ? speed[0] : undefined;
  if (typeof first?.ratio !== 'number') return '';
  const { ratio, runtime, batchSize, tokens } = first;
  return `, ${formatPercent(ratio)} of the time (${plainText(String(runtime))} ${Number(batchSize)} x ${Number(tokens)})`;
}

function resultText(value: unknown): string {
  const report = value as Partial<PruneReport> | null;
  if (!report?.macs || !report.quality) return '-';
  const { dense, search, rearrange, tune, gradual } = report.quality;
  const score = gradual ?? tune ?? rearrange ?? search;
  const quality =
    typeof score === 'number' && typeof dense === 'number'
      ? `, ${plainText(String(report.metric))} ${score.toFixed(4)} (dense ${dense.toFixed(4)})`
      : '';
  return `${formatPercent(report.macs.pruned / report.macs.dense)} of the MACs${speedText(report.speed)}${quality}`;
}
