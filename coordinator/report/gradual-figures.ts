// The steps of a gradual job: how far each student's outputs are from the dense model's, and what each step kept and took.
import { type GradualStepReport, stepSeconds } from '../prune-report.ts';
import type { Figure } from './figure.ts';
import { showNumber, showSeconds, showShare } from './figures.ts';
import { html } from './html.ts';
import { type ChartSeries, drawLineChart } from './line-chart.ts';
import type { ReportedJob } from './reported-job.ts';

/** What the shares of a step are of. */
type CostKind = 'MACs' | 'time';

export interface DistinctStep {
  readonly kind: CostKind;
  readonly step: GradualStepReport;
  /** Names of the budgets whose last step it is. */
  readonly budgets: readonly string[];
}

/** Every step of a job once, though it leads to several budgets; those that keep most first. */
export function distinctSteps({ budgets }: ReportedJob): DistinctStep[] {
  const found = new Map<string, { kind: CostKind; step: GradualStepReport; budgets: string[] }>();
  for (const { name, report } of budgets) {
    const { steps = [], latencyBudget, maxDrop } = report;
    const isOfTime = latencyBudget !== undefined || maxDrop?.written.time !== undefined;
    const kind = isOfTime ? 'time' : 'MACs';
    for (const [at, step] of steps.entries()) {
      const key = `${kind} ${step.share}`;
      const known = found.get(key) ?? { kind, step, budgets: [] };
      if (at === steps.length - 1) known.budgets.push(name);
      found.set(key, known);
    }
  }
  return [...found.values()].sort((a, b) => b.step.macs - a.step.macs || b.step.share - a.step.share);
}

/** Divergence over the share of MACs, with every step in a table; null where the reports tell of no steps. */
export function divergenceBySteps(job: ReportedJob): Figure | null {
  const steps = distinctSteps(job);
  if (steps.length === 0) return null;
  const [{ report }] = job.budgets;
  const share = ({ macs }: GradualStepReport) => macs / report.macs.dense;
  const isRegression = report.task === 'regression';
  const named = isRegression ? 'squared difference' : 'Kullback-Leibler divergence';
  const unit = isRegression ? 'of outputs, squared' : 'nats';
  const kinds = [...new Set(steps.map(({ kind }) => kind))];
  const series = kinds.map(
    (kind, style): ChartSeries => ({
      ...{ name: `steps by ${kind}`, style },
      points: steps.flatMap(({ kind: own, step, budgets }) =>
        own !== kind || step.divergence === null
          ? []
          : [
              {
                ...{ x: 100 * share(step), y: step.divergence },
                ...(budgets.length > 0 && { label: `budget ${budgets.join(', ')}` }),
              },
            ],
      ),
    }),
  );
  const values = series.flatMap(({ points }) => points.map(({ y }) => y));
  // A few steps that are alike say more on a plain axis.
  const isLogarithmic = Math.min(...values) > 0 && Math.max(...values) > 10 * Math.min(...values);
  return {
    title: 'Divergence by step',
    text: html`Mean ${named} of each step's model from the dense one, on calibration samples that its fits were judged by, over the
share of MACs that the step keeps. It warns where a step costs much; no choice was made by it.${
      isLogarithmic ? ' The vertical axis is logarithmic.' : ''
    } The table has what each step kept, and its seconds.`,
    legend: series,
    panels:
      values.length === 0
        ? []
        : [
            {
              ...{ title: null, size: 'full' },
              draw: (width) =>
                drawLineChart(
                  {
                    ...{
                      name: 'Divergence from the dense model over the share of MACs kept, by step',
                      series,
                      isLogarithmic,
                    },
                    x: { title: 'MACs kept (% of the dense encoder)', domain: [0, 100] },
                    y: { title: `divergence (${unit})` },
                  },
                  width,
                ),
            },
          ],
    table: {
      caption: 'Steps from the dense model on',
      head: [
        ...['step', 'budget', 'MACs kept', 'heads', 'neurons', `divergence (${unit})`],
        ...['gradients', 'search', 'refit', 'of divergence', 'whole step'],
      ],
      rows: steps.map(({ kind, step, budgets }) => [
        ...[`${showShare(step.share)} of ${kind}`, budgets.join(', ') || '–', showShare(share(step))],
        ...[sum(step.heads), sum(step.neurons)],
        step.divergence === null ? 'nothing held out' : showNumber(step.divergence),
        ...(['gradients', 'search', 'refit', 'divergence'] as const).map((stage) => showSeconds(step.seconds[stage])),
        showSeconds(stepSeconds(step)),
      ]),
    },
  };
}

function sum(values: readonly number[]): string {
  return String(values.reduce((total, value) => total + value, 0));
}
