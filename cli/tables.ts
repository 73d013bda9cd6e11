// The closing tables of the commands: aligned columns of plain text.
import { join } from 'node:path';
import type { CheckpointDescription } from '../checkpoint/inspect.ts';
import type { EvaluateReport } from '../coordinator/evaluate-settings.ts';
import type { LatencyBudgetReport, PruneReport } from '../coordinator/prune-report.ts';
import { lastStage, RUNTIMES } from '../coordinator/prune-settings.ts';
import type { MeasuredSpeed } from '../coordinator/stages/latency.ts';
import { formatBytes, formatCount } from '../shared/quantities.ts';
import { counted, formatLatency, formatPercent, formatSeconds } from './quantities.ts';

/** Text in bold where `colour` is on. */
export type Emphasis = (text: string) => string;

/** Bold on a terminal unless NO_COLOR is set to anything (no-color.org), else nothing. */
export function emphasisFor(sink: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): Emphasis {
  const colour = sink.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  return colour ? (text) => `\x1b[1m${text}\x1b[22m` : (text) => text;
}

/** Dense against pruned, one column a budget, and where each result lies.
 * @param reports at least one, all of one job.
 * @param budgets names of the budgets' folders, in the order of the reports.
 * @param out the output folder as the user wrote it. */
export function renderPruneReports(
  reports: readonly PruneReport[],
  budgets: readonly string[],
  out: string,
  emphasis: Emphasis,
): string {
  const [first] = reports as readonly [PruneReport, ...PruneReport[]];
  const rows = [
    ['', 'dense', ...budgets.map((budget) => `budget ${budget}`)],
    ['MACs', formatCount(first.macs.dense), ...reports.map(({ macs }) => formatCount(macs.pruned))],
    ['of dense', formatPercent(1), ...reports.map(({ macs }) => formatPercent(macs.pruned / macs.dense))],
    [
      'parameters',
      formatCount(first.parameters.dense),
      ...reports.map(({ parameters }) => formatCount(parameters.pruned)),
    ],
    ['size', formatBytes(first.bytes.dense), ...reports.map(({ bytes }) => formatBytes(bytes.pruned))],
    ...qualityRows(reports, first),
    ...divergenceRows(reports),
    ...speedRows(reports),
  ];
  const times = reports.flatMap(({ latencyBudget }, i) =>
    latencyBudget ? [timeVerdict(budgets[i], latencyBudget)] : [],
  );
  const results = budgets.map((budget) => `Result: ${emphasis(join(out, budget))}`);
  return `${alignColumns(rows, emphasis)}\n${measuredOn(first)}${times.join('')}${peakMemory(first)}\n${results.join('\n')}\n`;
}

/** All metrics of one checkpoint. */
export function renderEvaluateReport(report: EvaluateReport, emphasis: Emphasis): string {
  const names = Object.keys(report.scores).sort((a, b) => Number(b === report.metric) - Number(a === report.metric));
  const rows = [
    ['', report.model.name],
    ...names.map((name) => [name, formatScore(report.scores[name] ?? null)]),
    ['samples', String(report.samples)],
    ['truncated', String(report.data.truncated)],
    ['time', formatSeconds(report.seconds)],
  ];
  return alignColumns(rows, emphasis);
}

/** What a checkpoint holds. */
export function renderDescription(model: CheckpointDescription): string {
  const rows = [
    ['type', model.type],
    ['task', model.task],
    ['pruned', model.pruned ? 'by Espalier' : 'no'],
    ['parameters', formatCount(model.parameters)],
    ['size', `${formatBytes(model.bytes)} as ${model.dtype}`],
    ['longest input', `${model.maxTokens} tokens`],
    ['labels', model.labels.length === 0 ? '-' : model.labels.join(', ')],
    ['hidden size', String(model.hiddenSize)],
    ['heads by layer', model.headsByLayer.join(' ')],
    ['neurons by layer', model.neuronsByLayer.join(' ')],
  ];
  return alignColumns(rows, (text) => text, 'left');
}

function qualityRows(reports: readonly PruneReport[], first: PruneReport): string[][] {
  if (first.metric === null) return [];
  const pruned = reports.map(({ quality, method }) => quality[lastStage(method)] ?? null);
  const rows = [[first.metric, formatScore(first.quality.dense), ...pruned.map(formatScore)]];
  const { metric } = first;
  const onnx = reports.map((report) => report.onnx?.scores?.[metric] ?? null);
  if (onnx.some((score) => score !== null)) rows.push([`${metric}, ONNX`, '-', ...onnx.map(formatScore)]);
  return rows;
}

/** How far the outputs of gradual results are from the dense model's, where that was measured. */
function divergenceRows(reports: readonly PruneReport[]): string[][] {
  const found = reports.map(({ steps = [] }) => steps.at(-1)?.divergence ?? null);
  if (found.every((divergence) => divergence === null)) return [];
  return [['divergence', '-', ...found.map((divergence) => (divergence === null ? '-' : divergence.toPrecision(3)))]];
}

/** Three rows a runtime and shape: medians, spreads, and the share of the dense model's median. */
function speedRows(reports: readonly PruneReport[]): string[][] {
  const [first] = reports;
  return first.speed.flatMap(({ runtime, batchSize, tokens }) => {
    const all = reports.map(({ speed }) =>
      speed.find((own) => own.runtime === runtime && own.batchSize === batchSize && own.tokens === tokens),
    );
    // Each budget measured the dense model again beside its own, hence a range.
    const dense = all.flatMap((own) => (own === undefined ? [] : [own.dense]));
    const medians = dense.map(({ median }) => median);
    const cells = (cell: (speed: MeasuredSpeed) => string) => all.map((own) => (own === undefined ? '-' : cell(own)));
    return [
      [
        `${runtime} ${batchSize} x ${tokens}`,
        latencyRange(Math.min(...medians), Math.max(...medians)),
        ...cells(({ pruned }) => formatLatency(pruned.median)),
      ],
      [
        '  p10 to p90',
        latencyRange(Math.min(...dense.map(({ p10 }) => p10)), Math.max(...dense.map(({ p90 }) => p90))),
        ...cells(({ pruned }) => latencyRange(pruned.p10, pruned.p90)),
      ],
      ['  of dense', formatPercent(1), ...cells(({ ratio }) => formatPercent(ratio))],
    ];
  });
}

function latencyRange(least: number, most: number): string {
  return [...new Set([least, most].map(formatLatency))].join(' to ');
}

function timeVerdict(budget: string, { measuredByGoal, met, tolerance, table, machine }: LatencyBudgetReport): string {
  if (measuredByGoal === null) return `${budget}: not measured\n`;
  const of = `${formatPercent(measuredByGoal)} of what it allows`;
  if (met === null) return `${budget}: by the table of ${table.device}; ${of} on ${machine}\n`;
  return `${budget}: ${of}, ${met ? 'within' : 'not within'} ${formatPercent(tolerance)}\n`;
}

/** What the worker that took most memory took; nothing where none told. */
function peakMemory({ workerTimes = [], deviceClass, tokensPerBatch }: PruneReport): string {
  const peaks = workerTimes.flatMap(({ peakMemoryBytes }) => peakMemoryBytes ?? []);
  if (peaks.length === 0) return '';
  const device = deviceClass.kind === 'gpu' ? 'a GPU' : 'a worker';
  const batches = tokensPerBatch === undefined ? '' : ` with ${tokensPerBatch} tokens a batch`;
  return `Memory: at most ${formatBytes(Math.max(...peaks))} ${device}${batches}\n`;
}

function measuredOn({ macsLength, speed, evaluation }: PruneReport): string {
  const parts = [`MACs at ${formatCount(macsLength)} tokens`];
  if (evaluation !== null) parts.push(`quality on ${evaluation.rows} rows`);
  const runtimes = RUNTIMES.flatMap((name) => speed.find(({ runtime }) => runtime === name) ?? []);
  const named = runtimes.map(({ runtime, threads }) => `${runtime} with ${counted(threads, 'thread')}`);
  if (runtimes.length === 0) return `${parts.join(', ')}\n`;
  const [{ input, machine }] = runtimes;
  return `${parts.join(', ')}\nSpeed: medians of forward passes of ${input}; ${named.join(', ')}; ${machine}\n`;
}

function formatScore(score: number | null): string {
  return score === null ? '-' : score.toFixed(4);
}

/** Columns two spaces apart: the first to the left, the others to the given side; the first row is the heading. */
export function alignColumns(rows: readonly string[][], emphasis: Emphasis, side: 'left' | 'right' = 'right'): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row, index) => {
    const cells = row.map((cell, column) =>
      column === 0 || side === 'left' ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    const line = cells.join('  ').trimEnd();
    return index === 0 && line !== '' ? emphasis(line) : line;
  });
  return `${lines.join('\n')}\n`;
}
