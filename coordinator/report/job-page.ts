// The page of one job: what its budgets cost and gained, what was kept, where the time went, and how to do it again.

import { gradualSettings, gradualWords } from '../gradual-settings.ts';
import type { PruneReport } from '../prune-report.ts';
import { allowedLoss, budgetsOfTime } from './asked-budgets.ts';
import { commandLines } from './command-words.ts';
import { type Figure, renderFigure, renderTable } from './figure.ts';
import { showBytes, showChange, showCount, showMilliseconds, showRatio, showScore, showShare } from './figures.ts';
import { divergenceBySteps } from './gradual-figures.ts';
import { type Html, html } from './html.ts';
import { renderPage, type Section } from './page.ts';
import { qualityByMacs, qualityByStage, qualityByTime } from './quality-figures.ts';
import { finalQuality, macsShare, mainPass, type ReportedJob } from './reported-job.ts';
import { refitByLayer, tuningByLayer } from './residual-figures.ts';
import { importanceByLayer, keptByLayer } from './structure-figures.ts';
import { speedFigure, stageTimes, workerTimes } from './time-figures.ts';

/** The page's HTML. Equal reports give equal bytes. */
export function jobPage(job: ReportedJob): string {
  const [{ report: first }] = job.budgets;
  const { denseLayer } = first;
  const sections: Section[] = [
    { id: 'results', title: 'Results', content: results(job) },
    ...budgetsOfTime(job),
    ...allowedLoss(job),
    { id: 'quality', title: 'Quality', content: quality(job) },
    {
      id: 'kept',
      title: 'What was kept',
      content: html`${[
        keptByLayer(job, 'heads', denseLayer?.heads ?? null),
        keptByLayer(job, 'neurons', denseLayer?.neurons ?? null),
        importanceByLayer(job),
      ].map(figureOf)}`,
    },
    {
      id: 'speed',
      title: 'Speed',
      content: figureOf(speedFigure(job)) ?? html`<p>No forward pass was timed.</p>`,
    },
    first.method === 'gradual' ? steps(job) : tuning(job),
    { id: 'time', title: 'Time', content: html`${[stageTimes(job), workerTimes(job)].map(figureOf)}` },
    { id: 'reproduce', title: 'Do it again', content: reproduce(job) },
  ];
  return renderPage({ title: `${job.name}, pruned`, lead: lead(job), sections });
}

function steps(job: ReportedJob): Section {
  return {
    id: 'steps',
    title: 'Steps',
    content: html`${[divergenceBySteps(job), refitByLayer(job)].map(figureOf)}`,
  };
}

function tuning(job: ReportedJob): Section {
  const [{ report }] = job.budgets;
  return {
    id: 'tuning',
    title: 'Tuning',
    content: figureOf(tuningByLayer(job)) ?? html`<p>Nothing was tuned: the job ended after ${report.method}.</p>`,
  };
}

function figureOf(figure: Figure | null): Html | null {
  return figure && renderFigure(figure);
}

function lead(job: ReportedJob): Html {
  const [{ report }] = job.budgets;
  const { budgets } = job;
  const smallest = budgets[budgets.length - 1].report;
  const tiles: [string, string][] = [
    [showCount(smallest.macs.pruned), `MACs of the smallest, ${showShare(macsShare(smallest))} of dense`],
    [showCount(smallest.parameters.pruned), `parameters, of ${showCount(smallest.parameters.dense)}`],
  ];
  const [score, dense] = [finalQuality(smallest), smallest.quality.dense];
  if (score !== null && dense !== null)
    tiles.push([showScore(score), `${smallest.metric} of the smallest, ${showChange(score - dense)} from dense`]);
  const pass = mainPass(job, smallest);
  if (pass)
    tiles.push([showRatio(pass.dense.median / pass.pruned.median), `speed-up of the smallest, ${pass.setting}`]);
  return html`<p class="lead">A ${report.model.type} model for ${report.task.replaceAll('-', ' ')}, pruned to ${
    budgets.length === 1 ? 'one budget' : `${budgets.length} budgets`
  } from ${report.samples} calibration samples.</p>
<ul class="tiles">${tiles.map(([value, what]) => html`<li><b>${value}</b><span>${what}</span></li>`)}</ul>`;
}

/** A row for the dense model and each budget. */
function results(job: ReportedJob): Html {
  const { budgets } = job;
  const [{ report: first }] = budgets;
  const { metric } = first;
  const dense = first.quality.dense;
  const timed = mainPass(job, first);
  const columns = ['budget', 'MACs', 'of dense', 'parameters', 'weights'];
  if (metric !== null) columns.push(metric, 'change');
  if (timed) columns.push('forward pass', 'speed-up');
  const rows = budgets.map(({ name, report }) => {
    const [score, pass] = [finalQuality(report), mainPass(job, report)];
    const row = [name, showCount(report.macs.pruned), showShare(macsShare(report))];
    row.push(showCount(report.parameters.pruned), showBytes(report.bytes.pruned));
    if (metric !== null) row.push(showScore(score), score === null || dense === null ? '' : showChange(score - dense));
    if (timed)
      row.push(
        ...(pass
          ? [showMilliseconds(pass.pruned.median), showRatio(pass.dense.median / pass.pruned.median)]
          : ['', '']),
      );
    return row;
  });
  const denseRow = ['dense', showCount(first.macs.dense), showShare(1)];
  denseRow.push(showCount(first.parameters.dense), showBytes(first.bytes.dense));
  if (metric !== null) denseRow.push(showScore(dense), '');
  if (timed) denseRow.push(showMilliseconds(timed.dense.median), showRatio(1));
  const notes = [`MACs of a sample of ${showCount(first.macsLength)} tokens`];
  if (first.evaluation !== null) notes.push(`quality on ${first.evaluation.rows} rows`);
  if (timed) notes.push(`forward pass: ${timed.setting}`);
  return html`<p>${notes.join('; ')}.</p>
${renderTable({ caption: 'Dense model and budgets', head: columns, rows: [denseRow, ...rows] })}`;
}

function quality(job: ReportedJob): Html {
  if (job.budgets[0].report.metric === null)
    return html`<p>Quality was not measured: the job was given no samples to measure it on. <code>--eval</code> gives some.</p>`;
  const tradeOffs = [qualityByMacs(job), qualityByTime(job)];
  // What was asked for in time is to be seen over time first.
  const isOfTime = job.budgets.every(({ report }) => report.latencyBudget !== undefined);
  return html`${[...(isOfTime ? tradeOffs.toReversed() : tradeOffs), qualityByStage(job)].map(figureOf)}`;
}

/** Settings and digests. */
function reproduce({ budgets }: ReportedJob): Html {
  const [{ report }] = budgets;
  const command =
    report.command === undefined
      ? html`<p>The report does not tell the command.</p>`
      : html`<p>The command that does the same, with the same files under these names:</p>
<pre><code>${commandLines(report.command)}</code></pre>`;
  const entries: [string, string | number][] = [
    ['Espalier', report.espalier],
    ['model', report.model.name],
    ['its digest', report.model.digest],
    ['calibration data', dataOf(report.data)],
    ['its digest', report.data.digest],
    ...(report.evaluation === null
      ? []
      : ([
          ['evaluation data', dataOf(report.evaluation)],
          ['its digest', report.evaluation.digest],
        ] as [string, string][])),
    ['seed', report.seed],
    [
      'samples',
      `${report.samples}, ${report.replacement ? 'with' : 'without'} replacement, labels of the ${report.labels}`,
    ],
    ...methodOf(report),
    ...searchOf(report),
    ['plan', report.plan],
    [
      'device class',
      Object.entries(report.deviceClass)
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
    ],
    ['workers', report.workers],
  ];
  return html`${command}
<p>Digests are SHA-256. Workers of the same device class give the same weights to the bit.</p>
<dl>${entries.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
${onnxFiles(budgets)}${renderTable({
  caption: 'Weights that were written',
  head: ['budget', 'type', 'SHA-256 of model.safetensors'],
  rows: budgets.map(({ name, report: { dtype, digest } }) => [name, dtype, digest]),
})}`;
}

function dataOf({
  name,
  rows,
  truncated,
}: {
  readonly name?: string;
  readonly rows: number;
  readonly truncated: number;
}): string {
  const cut = truncated === 0 ? 'none cut' : `${truncated} cut`;
  return `${name === undefined ? '' : `${name}, `}${rows} rows, ${cut}`;
}

/** Files for ONNX Runtime, where some were written. */
function onnxFiles(budgets: ReportedJob['budgets']): Html | null {
  const rows = budgets.flatMap(({ name: budget, report: { onnx, metric } }) =>
    (onnx?.files ?? []).map(({ name, bytes, sha256 }) => [
      ...[budget, name, onnx?.dtype ?? '', showBytes(bytes)],
      ...[metric === null ? 'not measured' : showScore(onnx?.scores?.[metric] ?? null), sha256],
    ]),
  );
  if (rows.length === 0) return null;
  const head = ['budget', 'file', 'type', 'size', 'quality in ONNX Runtime', 'SHA-256'];
  return html`${renderTable({ caption: 'ONNX files that were written', head, rows })}
`;
}

/** With what is of the one method alone. */
function methodOf({ method, damping, gradual, fisherGroup }: PruneReport): [string, string | number][] {
  if (method === 'gradual')
    return [['method', [method, ...gradualWords(gradualSettings(gradual)).map((words) => words.join(' '))].join(', ')]];
  return [
    ['samples a Fisher row', fisherGroup],
    ['method', `${method}, damping ${damping}`],
  ];
}

/** What older reports do not tell. */
function searchOf({ search, neuronMultiple }: Partial<PruneReport>): [string, string][] {
  if (search === undefined) return [];
  return [['search', neuronMultiple === undefined ? search : `${search}, neurons in multiples of ${neuronMultiple}`]];
}
