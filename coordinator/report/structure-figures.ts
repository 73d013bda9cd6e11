// What was kept where, and how important it was.

import { drawBarChart } from './bar-chart.ts';
import type { Figure } from './figure.ts';
import { showNumber, showShare } from './figures.ts';
import { drawGridChart } from './grid-chart.ts';
import { html } from './html.ts';
import type { ReportedJob } from './reported-job.ts';

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
