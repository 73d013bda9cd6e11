// The page that compares jobs: those of a campaign, or any others.

import type { PruneReport } from '../prune-report.ts';
import { type NamedJob, qualityByJob, speedByJob, timeTradeOffs, tradeOffs } from './campaign-figures.ts';
import { type Cell, type Figure, renderFigure, renderTable } from './figure.ts';
import { showChange, showCount, showRatio, showScore, showShare } from './figures.ts';
import { type Html, html } from './html.ts';
import { renderPage, type Section } from './page.ts';
import { finalQuality, macsShare, timedPasses } from './reported-job.ts';

/** A job, and where its own page lies as seen from this one; null: it has none. */
export interface LinkedJob extends NamedJob {
  readonly page: readonly string[] | null;
}

/** The page's HTML. Equal reports under equal names give equal bytes. */
export function campaignPage(name: string, jobs: readonly LinkedJob[]): string {
  const sorted = [...jobs].sort((a, b) => (a.name < b.name ? -1 : 1));
  const figures: [string, string, (Figure | null)[], string][] = [
    ['quality', 'Quality', [qualityByJob(sorted)], 'No job measured quality.'],
    ['trade-offs', 'Trade-offs', [timeTradeOffs(sorted), tradeOffs(sorted)], 'No job measured quality.'],
    ['speed', 'Speed', [speedByJob(sorted)], 'No forward pass was timed.'],
  ];
  const sections: Section[] = [
    { id: 'jobs', title: 'Jobs', content: jobTable(sorted) },
    ...figures.map(([id, title, found, otherwise]) => ({
      ...{ id, title },
      content: found.every((figure) => figure === null)
        ? html`<p>${otherwise}</p>`
        : html`${found.map((figure) => figure && renderFigure(figure))}`,
    })),
    { id: 'all', title: 'All results', content: resultTable(sorted) },
  ];
  const budgets = sorted.reduce((sum, { job }) => sum + job.budgets.length, 0);
  const models = new Set(sorted.map(({ job }) => job.budgets[0].report.model.digest)).size;
  const lead = html`<p class="lead">${count(sorted.length, 'job')}, ${count(models, 'dense model')}, ${count(budgets, 'pruned model')}.</p>`;
  return renderPage({ title: `${name}, compared`, lead, sections });
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** A row a job: its smallest model. */
function jobTable(jobs: readonly LinkedJob[]): Html {
  return html`<p>A row a job, with the smallest of its pruned models. Change is quality less that of the dense model.</p>
${renderTable({
  caption: 'Jobs',
  head: ['job', 'budgets', ...RESULT_HEAD],
  rows: jobs.map((linked) => [
    nameOf(linked),
    String(linked.job.budgets.length),
    ...resultOf(linked.job.budgets[linked.job.budgets.length - 1].report),
  ]),
})}`;
}

function resultTable(jobs: readonly LinkedJob[]): Html {
  return html`<p>A row a pruned model.</p>
${renderTable({
  caption: 'All pruned models',
  head: ['job', 'budget', ...RESULT_HEAD],
  rows: jobs.flatMap((linked) =>
    linked.job.budgets.map(({ name, report }) => [nameOf(linked), name, ...resultOf(report)]),
  ),
})}`;
}

const RESULT_HEAD = ['method', 'MACs kept', 'parameters', 'metric', 'dense', 'pruned', 'change', 'speed-up'];

function resultOf(report: PruneReport): string[] {
  const [score, dense, pass] = [finalQuality(report), report.quality.dense, timedPasses(report)[0]];
  return [
    ...[report.method, showShare(macsShare(report)), showCount(report.parameters.pruned)],
    ...(score === null || dense === null
      ? ['–', '–', '–', '–']
      : [report.metric ?? '–', showScore(dense), showScore(score), showChange(score - dense)]),
    pass === undefined ? '–' : showRatio(pass.dense.median / pass.pruned.median),
  ];
}

function nameOf({ name, page }: LinkedJob): Cell {
  return page === null ? name : { text: name, href: page.map(encodeURIComponent).join('/') };
}
