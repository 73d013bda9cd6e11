// What was kept where, how important it was, and how the tuning of what was kept went.

import { drawBarChart } from './bar-chart.ts';
import type { Figure } from './figure.ts';
import { showNumber, showShare } from './figures.ts';
import { drawGridChart } from './grid-chart.ts';
import { html } from './html.ts';
import { type ChartSeries, drawLineChart } from './line-chart.ts';
import type { ReportedBudget, ReportedJob } from './reported-job.ts';

/** Heads or neurons kept, a row a budget.
 * @param dense how many a layer of the dense model has; null: not known, the fullest layer counts as whole. */
export function keptByLayer({ budgets }: ReportedJob, kind: 'heads' | 'neurons', dense: number | null): Figure {
  const full = dense ?? Math.max(1, ...budgets.flatMap(({ report }) => report[kind]));
  const rows = budgets.map(({ name, report }) => ({ name, values: report[kind] }));
  const layers = rows[0].values.length;
  return {
    title: kind === 'heads' ? 'Attention heads kept' : 'FFN neurons kept',
    text: html`${kind === 'heads' ? 'Heads' : 'Neurons'} that each layer keeps${
      dense === null ? null : html` of the ${dense} that the dense model has`
    }; a row a budget. The fuller a cell, the darker.`,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawGridChart(
            {
              name: `${kind} kept by layer and budget`,
              ...{ columnTitle: 'layer (number, from 0)', rowTitle: 'budget (name)', rows, full },
            },
            width,
          ),
      },
    ],
    table: {
      caption: `${kind} kept by layer`,
      head: ['budget', ...Array.from({ length: layers }, (_, layer) => `layer ${layer}`), 'all'],
      rows: rows.map(({ name, values }) => [
        name,
        ...values.map(String),
        String(values.reduce((sum, value) => sum + value, 0)),
      ]),
    },
  };
}

/** Each layer's share of the Fisher information; null where the report does not tell. */
export function importanceByLayer({ budgets }: ReportedJob): Figure | null {
  const { importance } = budgets[0].report;
  if (importance === undefined) return null;
  const shares = (values: readonly number[]) => {
    const sum = values.reduce((total, value) => total + value, 0);
    return values.map((value) => (sum === 0 ? 0 : value / sum));
  };
  const [heads, neurons] = [shares(importance.heads), shares(importance.neurons)];
  const panel = (title: string, values: readonly number[]) => ({
    ...{ title, size: 'half' as const },
    draw: (width: number) =>
      drawBarChart(
        {
          ...{ name: `Share of each layer in the importance of all ${title.toLowerCase()}` },
          ...{ valueTitle: 'share of all layers (%)', nameTitle: 'layer (number, from 0)' },
          bars: values.map((share, layer) => ({ name: String(layer), value: 100 * share, text: showShare(share) })),
        },
        width,
      ),
  });
  return {
    title: 'Importance by layer',
    text: html`Share of each layer in the diagonal Fisher information of the dense model's head masks, and of its neuron masks: how
much the loss depends on what the layer holds. The search keeps what has most of it for its cost.`,
    panels: [panel('Heads', heads), panel('Neurons', neurons)],
    table: {
      caption: 'Fisher information by layer',
      head: ['layer', 'heads', 'share', 'neurons', 'share'],
      rows: heads.map((share, layer) => [
        ...[String(layer), showNumber(importance.heads[layer]), showShare(share)],
        ...[showNumber(importance.neurons[layer]), showShare(neurons[layer])],
      ]),
    },
  };
}

/** Residual of the tuning at held-out positions, with scales over without; null where nothing was tuned. */
export function tuningByLayer({ budgets }: ReportedJob): Figure | null {
  if (budgets.every(({ report }) => report.tuning.length === 0)) return null;
  const kinds = [
    { kind: 'attention', title: 'Attention' },
    { kind: 'ffn', title: 'FFN' },
  ] as const;
  const panels = kinds.map(({ kind, title }) => ({
    title,
    series: budgets.map((budget, style) => tuningSeries(budget, style, kind)).filter(({ points }) => points.length > 0),
  }));
  const layers = Math.max(...budgets.map(({ report }) => report.heads.length));
  return {
    title: 'Residual by layer',
    text: html`Squared residual at held-out positions after the tuning of each sub-layer, in percent of that before: 100\u00a0% is no gain.
The table has the rung of the damping ladder that was taken.`,
    legend: budgets.map(({ name }, style) => ({ name: `budget ${name}`, style })),
    panels: panels
      .filter(({ series }) => series.length > 0)
      .map(({ title, series }) => ({
        ...{ title, size: 'half' as const },
        draw: (width: number) =>
          drawLineChart(
            {
              name: `Residual after tuning of ${title} sub-layers, by layer and budget`,
              x: {
                ...{ title: 'layer (number, from 0)', domain: [-0.3, layers - 0.7], show: String },
                ticks: layerTicks(layers),
              },
              y: { title: 'residual after tuning (% of before)' },
              ...{ series, height: 260 },
            },
            width,
          ),
      })),
    table: {
      caption: 'Tuning of each sub-layer',
      head: ['sub-layer', 'budget', 'kept', 'rung taken', 'rungs tried', 'residual before', 'after', 'largest scale'],
      rows: budgets.flatMap(({ name, report }) =>
        report.tuning.map(({ layer, subLayer, kept, rung, tried, heldOutBefore, heldOutAfter, largestScale }) => [
          ...[`layer ${layer} ${subLayer}`, name, String(kept), rung, String(tried.length)],
          ...[heldOutBefore, heldOutAfter].map((value) => (value === null ? 'not held out' : showNumber(value))),
          showNumber(largestScale),
        ]),
      ),
    },
  };
}

function tuningSeries({ name, report }: ReportedBudget, style: number, kind: 'attention' | 'ffn'): ChartSeries {
  return {
    ...{ name: `budget ${name}`, style },
    points: report.tuning.flatMap(({ layer, subLayer, heldOutBefore, heldOutAfter }) =>
      subLayer === kind && heldOutBefore !== null && heldOutAfter !== null && heldOutBefore > 0
        ? [{ x: layer, y: (100 * heldOutAfter) / heldOutBefore }]
        : [],
    ),
  };
}

function layerTicks(layers: number): number[] {
  const every = Math.ceil(layers / 12);
  return Array.from({ length: Math.ceil(layers / every) }, (_, i) => i * every);
}
