// What budgets of time and of allowed loss asked for, what was tried for them, and what came of it.
import type { LatencyBudgetReport } from '../prune-report.ts';
import { shownTime, tableSource } from './asked-time.ts';
import { renderFigure, renderTable } from './figure.ts';
import { showMilliseconds, showShare } from './figures.ts';
import { type Html, html } from './html.ts';
import { latencyTableFigure } from './latency-table-figure.ts';
import { lossByShare } from './loss-figure.ts';
import type { Section } from './page.ts';
import { type ReportedJob, runtimeName } from './reported-job.ts';

/** Time asked for, predicted and measured, and the rounds that led there, where a budget asked for time. */
export function budgetsOfTime({ budgets }: ReportedJob): Section[] {
  const asked = budgets.flatMap(({ name, report: { latencyBudget } }) =>
    latencyBudget === undefined ? [] : [{ name, found: latencyBudget }],
  );
  if (asked.length === 0) return [];
  const tolerances = new Set(asked.map(({ found }) => `${Number((found.tolerance * 100).toPrecision(3))}\u00a0%`));
  const summary = renderTable({
    caption: 'Time asked for, predicted and measured',
    head: ['budget', 'asked', 'predicted', 'measured', 'off by', `within ${[...tolerances].join(' or ')}`],
    rows: asked.map(({ name, found }) => [
      ...[name, shownTime(found, 1), showShare(found.predictedShare)],
      ...(found.measuredByGoal === null
        ? ['not measured', '–']
        : [shownTime(found, found.measuredByGoal), shownOff(found.measuredByGoal)]),
      { true: 'yes', false: 'no', null: 'nothing here can tell' }[String(found.met) as 'true' | 'false' | 'null'],
    ]),
  });
  // One job has one setting of time, and so one table.
  const tableFigure = latencyTableFigure(asked[0].found);
  const content = html`<p>Predicted is what the table of latencies says that the written model takes, in percent of the dense model as
the table adds it up. Measured is the median of the written model, timed in turn with the dense one.</p>
${summary}${asked.map(({ name, found }) => roundsOf(name, found))}${tableFigure === null ? null : renderFigure(tableFigure)}`;
  return [{ id: 'latency', title: 'Budgets of time', content }];
}

function roundsOf(name: string, found: LatencyBudgetReport): Html {
  const { runtime, batchSize, tokens, table, rounds } = found;
  const threads = `${table.threads} ${table.threads === 1 ? 'thread' : 'threads'}`;
  const text = html`
<p>Budget ${name}: ${shownTime(found, 1)}${found.kind === 'latency' ? " of the dense model's time" : ''}, of a batch of ${batchSize} × ${tokens} tokens in
${runtimeName(runtime)} with ${threads}. ${tableSource(found)}</p>
`;
  if (rounds.length === 0) return html`${text}<p>No round was measured.</p>\n`;
  const head = ['round', 'searched for', 'predicted', 'dense', 'pruned', 'measured', 'off by'];
  const rows = rounds.map(({ share, predicted, denseSeconds, seconds, byGoal }, i) => [
    ...[String(i + 1), showShare(share), showShare(predicted)],
    ...[showMilliseconds(denseSeconds), showMilliseconds(seconds), shownTime(found, byGoal), shownOff(byGoal)],
  ]);
  return html`${text}${renderTable({ caption: `Rounds of correction of budget ${name}`, head, rows })}
`;
}

/** "+2.1 %": of what was asked for. */
function shownOff(byGoal: number): string {
  const text = showShare(Math.abs(byGoal - 1));
  if (Number.parseFloat(text) === 0) return text;
  return `${byGoal < 1 ? '−' : '+'}${text}`;
}

/** How the smallest model within an allowed loss was found, where a budget asked for that. */
export function allowedLoss({ budgets }: ReportedJob): Section[] {
  const found = budgets.flatMap(({ name, report: { maxDrop } }) => {
    if (maxDrop === undefined) return [];
    const { allowed, metric, decidedBy, heldOut, written } = maxDrop;
    const decided = decidedBy === 'bound' ? 'the bound of the loss' : 'the estimate of the loss';
    return [
      html`<p>Budget ${name}: the ${written.time === undefined ? 'smallest' : 'fastest'} model that loses at most ${allowed} of ${metric}, by ${decided}, judged on
${heldOut.examples} calibration samples that took part in nothing else.</p>
${renderFigure(lossByShare(name, maxDrop))}`,
    ];
  });
  return found.length === 0 ? [] : [{ id: 'loss', title: 'Allowed loss', content: html`${found}` }];
}
