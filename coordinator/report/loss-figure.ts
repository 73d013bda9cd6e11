// What candidates for an allowed loss lost: the shares that were walked or bisected, and where the walk ended.
import type { DropReport, MaxDropReport } from '../prune-report.ts';
import type { Figure } from './figure.ts';
import { showChange, showScore, showShare } from './figures.ts';
import { html } from './html.ts';
import { drawLineChart } from './line-chart.ts';

/** Loss of each candidate with the bound of it, over the share that it was pruned to. @param name of the budget. */
export function lossByShare(name: string, found: MaxDropReport): Figure {
  const { allowed, metric, candidates, written, boundConfidence } = found;
  const isFastest = written.time !== undefined;
  const unit = isFastest ? 'time' : 'MACs';
  const shareOf = ({ time, macs }: DropReport) => time ?? macs;
  const points = [...candidates]
    .sort((a, b) => shareOf(a) - shareOf(b))
    .map((candidate) => ({
      ...{ x: 100 * shareOf(candidate), y: candidate.drop, lowY: candidate.drop, highY: candidate.bound },
      ...(shareOf(candidate) === shareOf(written) && { label: 'written' }),
    }));
  const rows = [...candidates.map((candidate) => ['tried', candidate] as const), ['written', written] as const];
  return {
    title: `Loss by ${unit} kept, budget ${name}`,
    text: html`Loss of ${metric} from the dense model to each candidate; whiskers end at its bound, which holds with a confidence of
${boundConfidence}. What lies at the line or below it is allowed. The table has the candidates in the order in which they were tried.`,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawLineChart(
            {
              name: `Loss of ${metric} over the share of ${unit} kept, budget ${name}`,
              x: {
                title: isFastest ? "time kept (% of the dense model's)" : 'MACs kept (% of the dense encoder)',
                domain: [0, 100],
              },
              y: { title: `loss of ${metric} (difference)` },
              series: [{ name: 'candidates', style: 0, points }],
              reference: { value: allowed, text: `${allowed} allowed` },
            },
            width,
          ),
      },
    ],
    table: {
      caption: `Candidates of budget ${name}`,
      head: [
        ...['candidate', ...(isFastest ? ['time kept'] : []), 'MACs kept'],
        ...[metric, 'change', 'loss at most', 'allowed'],
      ],
      rows: rows.map(([what, candidate]) => [
        ...[what, ...(isFastest ? [showShare(candidate.time ?? 0)] : []), showShare(candidate.macs)],
        ...[showScore(candidate.score), showChange(-candidate.drop)],
        ...[showScore(candidate.bound), candidate.within ? 'yes' : 'no'],
      ]),
    },
  };
}
