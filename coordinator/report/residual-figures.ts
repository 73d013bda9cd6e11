// How well what was kept was fitted to the dense model's outputs: scales by tuning, output projections by refits.
import type { RefitReport } from '../prune-report.ts';
import type { Figure } from './figure.ts';
import { showNumber } from './figures.ts';
import { type Html, html } from './html.ts';
import { type ChartSeries, drawLineChart } from './line-chart.ts';
import type { ReportedBudget, ReportedJob } from './reported-job.ts';

const KINDS = [
  { kind: 'attention', title: 'Attention' },
  { kind: 'ffn', title: 'FFN' },
] as const;

/** One sub-layer's fit, judged on held-out positions. */
interface Fit {
  readonly layer: number;
  readonly subLayer: 'attention' | 'ffn';
  readonly part?: RefitReport['part'];
  readonly heldOutBefore: number | null;
  readonly heldOutAfter: number | null;
}

/** Residual of the tuning at held-out positions, with scales over without; null where nothing was tuned. */
export function tuningByLayer(job: ReportedJob): Figure | null {
  if (job.budgets.every(({ report }) => report.tuning.length === 0)) return null;
  return residualByLayer(job, {
    title: 'Residual by layer',
    text: html`Squared residual at held-out positions after the tuning of each sub-layer, in percent of that before: 100\u00a0% is no gain.
The table has the rung of the damping ladder that was taken.`,
    after: 'tuning',
    fits: ({ report }) => report.tuning,
    table: {
      caption: 'Tuning of each sub-layer',
      head: ['sub-layer', 'budget', 'kept', 'rung taken', 'rungs tried', 'residual before', 'after', 'largest scale'],
      rows: job.budgets.flatMap(({ name, report }) =>
        report.tuning.map((fit) => [
          ...[placeOf(fit), name, String(fit.kept), fit.rung, String(fit.tried.length)],
          ...[fit.heldOutBefore, fit.heldOutAfter].map(showResidual),
          showNumber(fit.largestScale),
        ]),
      ),
    },
  });
}

/** Error of the last step's refits at held-out positions; null where the reports do not tell. */
export function refitByLayer(job: ReportedJob): Figure | null {
  const refits = ({ report: { steps = [] } }: ReportedBudget) => steps.at(-1)?.refits ?? [];
  if (job.budgets.every((budget) => refits(budget).length === 0)) return null;
  const ofScales = job.budgets[0].report.gradual?.refit === 'scales';
  return residualByLayer(job, {
    title: 'Error by layer',
    text: ofScales
      ? html`Squared error at held-out positions after the last step's tuning of the scales of each sub-layer, in percent of that
with scales of 1: 100\u00a0% is no gain. The table has the rung of the damping ladder that was taken.`
      : html`Squared error at held-out positions, weighted by position, after the last step's refit of each sub-layer's output
projection, in percent of that before, when the step's heads and neurons were gone and the projection was as the step before had
left it: 100\u00a0% is no gain. The table has the rung of the ridge that was taken, and what else was refitted.`,
    after: 'the refit',
    fits: refits,
    table: {
      caption: 'Refit of each sub-layer in the last step of each budget',
      head: ['sub-layer', 'budget', 'kept', 'rung taken', 'rungs tried', 'error before', 'after'],
      rows: job.budgets.flatMap((budget) =>
        refits(budget).map((fit) => [
          ...[placeOf(fit), budget.name, String(fit.kept), fit.rung, String(fit.tried.length)],
          ...[fit.heldOutBefore, fit.heldOutAfter].map(showResidual),
        ]),
      ),
    },
  });
}

function residualByLayer(
  { budgets }: ReportedJob,
  {
    title,
    text,
    after,
    fits,
    table,
  }: {
    readonly title: string;
    readonly text: Html;
    /** What the values are after. */
    readonly after: string;
    fits(budget: ReportedBudget): readonly Fit[];
    readonly table: Figure['table'];
  },
): Figure {
  const panels = KINDS.map(({ kind, title: named }) => ({
    title: named,
    series: budgets
      .map((budget, style) => seriesOf(budget.name, style, fits(budget), kind))
      .filter(({ points }) => points.length > 0),
  }));
  const layers = Math.max(...budgets.map(({ report }) => report.heads.length));
  const named = title.split(' ')[0];
  return {
    ...{ title, text },
    legend: budgets.map(({ name }, style) => ({ name: `budget ${name}`, style })),
    panels: panels
      .filter(({ series }) => series.length > 0)
      .map(({ title: kind, series }) => ({
        ...{ title: kind, size: 'half' as const },
        draw: (width: number) =>
          drawLineChart(
            {
              name: `${named} after ${after} of ${kind} sub-layers, by layer and budget`,
              x: {
                ...{ title: 'layer (number, from 0)', domain: [-0.3, layers - 0.7], show: String },
                ticks: layerTicks(layers),
              },
              y: { title: `${named.toLowerCase()} after ${after} (% of before)` },
              ...{ series, height: 260 },
            },
            width,
          ),
      })),
    table,
  };
}

function seriesOf(name: string, style: number, fits: readonly Fit[], kind: 'attention' | 'ffn'): ChartSeries {
  return {
    ...{ name: `budget ${name}`, style },
    points: fits.flatMap(({ layer, subLayer, part, heldOutBefore, heldOutAfter }) =>
      part === undefined && subLayer === kind && heldOutBefore !== null && heldOutAfter !== null && heldOutBefore > 0
        ? [{ x: layer, y: (100 * heldOutAfter) / heldOutBefore }]
        : [],
    ),
  };
}

/** The output projection has the sub-layer's name alone. */
function placeOf({ layer, subLayer, part }: Fit): string {
  const inputs = subLayer === 'ffn' ? 'first projection' : 'query, key and value';
  const named = { input: inputs, query: 'query', key_value: 'key and value' };
  return `layer ${layer} ${subLayer}${part === undefined ? '' : `: ${named[part]}`}`;
}

function showResidual(value: number | null): string {
  return value === null ? 'not held out' : showNumber(value);
}

function layerTicks(layers: number): number[] {
  const every = Math.ceil(layers / 12);
  return Array.from({ length: Math.ceil(layers / every) }, (_, i) => i * every);
}
