// What a search by time went by: the latency table's seconds of a layer's sub-layers.
import type { LatencyBudgetReport } from '../prune-report.ts';
import type { Figure } from './figure.ts';
import { showMilliseconds } from './figures.ts';
import { html } from './html.ts';
import { drawLineChart } from './line-chart.ts';
import { runtimeName } from './reported-job.ts';

/** Time of one layer's attention by its heads and of its FFN by its neurons; null where the report does not tell. */
export function latencyTableFigure({ runtime, batchSize, tokens, table }: LatencyBudgetReport): Figure | null {
  const { seconds } = table;
  if (seconds === undefined) return null;
  const attention = seconds.attention.map((value, heads) => ({ x: heads, y: 1000 * value }));
  const ffn = seconds.ffn.map(({ neurons, seconds: value }) => ({ x: neurons, y: 1000 * value }));
  // One scale for both: their heights compare.
  const highest = Math.max(...[...attention, ...ffn].map(({ y }) => y));
  const panel = (title: string, unit: string, points: typeof ffn) => ({
    ...{ title, size: 'half' as const },
    draw: (width: number) =>
      drawLineChart(
        {
          name: `Time of one layer, ${title}, by ${unit} kept`,
          x: { title: `${unit} kept in the layer (number)` },
          y: { title: 'time of a pass (ms)', domain: [0, highest > 0 ? highest : 1] },
          series: [{ name: title, style: 0, points }],
        },
        width,
      ),
  });
  return {
    title: 'Latency table',
    text: html`Time that one layer's attention takes by its heads, and its FFN by its neurons, in ${runtimeName(runtime)} at
${batchSize} × ${tokens}. What pruning leaves as it is, embeddings and head, takes
${showMilliseconds(seconds.rest)}.`,
    panels: [panel('Attention', 'heads', attention), panel('FFN', 'neurons', ffn)],
    table: {
      caption: 'Latency table of one layer',
      head: ['sub-layer', 'heads or neurons kept', 'time'],
      rows: [
        ...seconds.attention.map((value, heads) => ['attention', String(heads), showMilliseconds(value)]),
        ...seconds.ffn.map(({ neurons, seconds: value }) => ['FFN', String(neurons), showMilliseconds(value)]),
      ],
    },
  };
}
