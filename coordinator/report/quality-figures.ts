// What a job's quality cost: against MACs, against time, and from stage to stage.
import { type LastStage, lastStage, type Method } from '../prune-settings.ts';
import type { Figure } from './figure.ts';
import { showMilliseconds, showScore, showShare } from './figures.ts';
import { html } from './html.ts';
import { type ChartPoint, type ChartSeries, drawLineChart } from './line-chart.ts';
import {
  finalQuality,
  macsShare,
  metricUnit,
  type ReportedBudget,
  type ReportedJob,
  scoreInterval,
  timedPasses,
} from './reported-job.ts';

const STAGES = ['search', 'rearrange', 'tune'] as const;

/** Stages that quality is told of, in their order. */
function stagesOf(method: Method): readonly LastStage[] {
  const last = lastStage(method);
  return last === 'gradual' ? [last] : STAGES.slice(0, STAGES.indexOf(last) + 1);
}

/** Quality over the share of MACs after each stage; null where nothing was measured. */
export function qualityByMacs({ budgets }: ReportedJob): Figure | null {
  const [{ report }] = budgets;
  const { metric, method, quality } = report;
  if (metric === null || quality.dense === null) return null;
  const stages = stagesOf(method).toReversed();
  const series = stages.flatMap((stage, style): ChartSeries[] => {
    const points = budgets.flatMap(({ report: found }) => pointOf(found, stage, stage === lastStage(method)));
    return points.length === 0 ? [] : [{ name: nameOf(stage), style, points }];
  });
  const interval = scoreInterval(report, quality.dense);
  return {
    title: 'Quality against MACs',
    text: html`The ${metric} of each pruned model over the share of the dense encoder's multiply-accumulates that it keeps. The dashed
line is the dense model, ${showScore(quality.dense)}. ${
      interval === null
        ? null
        : html`Whiskers: 95 % interval (Wilson) of a share counted on ${report.evaluation?.rows ?? 0} samples. `
    }The vertical axis does not begin at zero.`,
    legend: series,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawLineChart(
            {
              name: `${metric} over the share of MACs kept, by stage`,
              x: { title: 'MACs kept (% of the dense encoder)', domain: [0, 100] },
              y: { title: `${metric} (${metricUnit(metric)})` },
              series,
              reference: { value: quality.dense ?? 0, text: `dense ${showScore(quality.dense)}` },
            },
            width,
          ),
      },
    ],
    table: {
      caption: `${metric} by budget and stage`,
      head: ['budget', 'MACs kept', ...stages.toReversed().map(nameOf), '95 % interval'],
      rows: [
        ['dense', showShare(1), ...stages.map(() => showScore(quality.dense)), showInterval(interval)],
        ...budgets.map(({ name, report: found }) => [
          name,
          showShare(macsShare(found)),
          ...stages.toReversed().map((stage) => showScore(found.quality[stage] ?? null)),
          showInterval(scoreInterval(found, finalQuality(found))),
        ]),
      ],
    },
  };
}

function nameOf(stage: LastStage): string {
  return stage === 'gradual' ? 'pruned gradually' : `after ${stage}`;
}

function pointOf(report: ReportedBudget['report'], stage: LastStage, hasSpread: boolean): ChartPoint[] {
  const y = report.quality[stage] ?? null;
  if (y === null) return [];
  const interval = hasSpread ? scoreInterval(report, y) : null;
  const spread = interval === null ? {} : { lowY: interval.low, highY: interval.high };
  return [{ x: 100 * macsShare(report), y, ...spread }];
}

function showInterval(interval: { readonly low: number; readonly high: number } | null): string {
  return interval === null ? 'none' : `${showScore(interval.low)} to ${showScore(interval.high)}`;
}

/** Quality over the time of a forward pass relative to the dense model's, by setting; null where either was not measured. */
export function qualityByTime({ budgets }: ReportedJob): Figure | null {
  const [{ report }] = budgets;
  const { metric, quality } = report;
  if (metric === null || quality.dense === null) return null;
  const settings = [...new Set(budgets.flatMap((budget) => timedPasses(budget.report).map(({ setting }) => setting)))];
  const measured = settings.map((setting) => ({
    setting,
    passes: budgets.flatMap(({ name, report: found }) => {
      const pass = timedPasses(found).find((timed) => timed.setting === setting);
      const score = finalQuality(found);
      return pass === undefined || score === null ? [] : [{ name, pass, score, interval: scoreInterval(found, score) }];
    }),
  }));
  if (measured.every(({ passes }) => passes.length === 0)) return null;
  // One setting a runtime: more hide each other. The table has all.
  const runtimeOf = (setting: string) => setting.split(',')[0];
  const drawn = measured.filter(
    ({ setting }, at) => measured.findIndex((other) => runtimeOf(other.setting) === runtimeOf(setting)) === at,
  );
  const series = drawn.map(
    ({ setting, passes }, style): ChartSeries => ({
      ...{ name: setting, style },
      points: passes.map(({ name, pass: { dense, pruned }, score, interval }) => ({
        ...{ x: (100 * pruned.median) / dense.median, y: score, label: name },
        ...(interval && { lowY: interval.low, highY: interval.high }),
        ...(pruned.p10 !== null && { lowX: (100 * pruned.p10) / dense.median }),
        ...(pruned.p90 !== null && { highX: (100 * pruned.p90) / dense.median }),
      })),
    }),
  );
  const most = Math.max(100, ...series.flatMap(({ points }) => points.map(({ x, highX = x }) => highX)));
  return {
    title: 'Quality against time',
    text: html`The ${metric} over the median time of a forward pass, in percent of the dense model's in the same setting, the first one
of each runtime. Points carry the names of their budgets. Whiskers: across, the 10th to the 90th percentile where it was measured; upright, the 95 % interval
(Wilson) where the metric is a share of samples.`,
    legend: series,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawLineChart(
            {
              name: `${metric} over the time of a forward pass`,
              scattered: true,
              x: { title: 'forward pass (% of the dense model)', domain: [0, most * 1.04] },
              y: { title: `${metric} (${metricUnit(metric)})` },
              series,
              reference: { value: quality.dense ?? 0, text: `dense ${showScore(quality.dense)}` },
            },
            width,
          ),
      },
    ],
    table: {
      caption: `${metric} and time of a forward pass`,
      head: ['budget', 'setting', metric, 'dense', 'pruned', 'share of dense'],
      rows: measured.flatMap(({ setting, passes }) =>
        passes.map(({ name, pass: { dense, pruned }, score }) => [
          ...[name, setting, showScore(score), showMilliseconds(dense.median), showMilliseconds(pruned.median)],
          showShare(pruned.median / dense.median),
        ]),
      ),
    },
  };
}

/** Quality of each budget from the dense model to its last stage; null where nothing was measured, or there is one stage. */
export function qualityByStage({ budgets }: ReportedJob): Figure | null {
  const [{ report }] = budgets;
  const { metric, method, quality } = report;
  if (metric === null || quality.dense === null || method === 'gradual') return null;
  const stages = ['dense', ...stagesOf(method)] as const;
  const series = budgets.map(
    ({ name, report: found }, style): ChartSeries => ({
      ...{ name: `budget ${name}`, style },
      points: stages.flatMap((stage, x) => {
        const y = found.quality[stage] ?? null;
        return y === null ? [] : [{ x, y }];
      }),
    }),
  );
  return {
    title: 'Quality by stage',
    text: html`The ${metric} of the dense model, after the search for masks, after their rearrangement, and of the tuned model as it was
written. The vertical axis does not begin at zero.`,
    legend: series,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawLineChart(
            {
              name: `${metric} by stage and budget`,
              x: {
                ...{ title: 'stage (in the order of the job)', ticks: stages.map((_, i) => i) },
                ...{ domain: [-0.2, stages.length - 0.8], show: (i) => stages[i] },
              },
              y: { title: `${metric} (${metricUnit(metric)})` },
              series,
            },
            width,
          ),
      },
    ],
    table: {
      caption: `${metric} by stage`,
      head: ['budget', ...stages],
      rows: budgets.map(({ name, report: found }) => [
        name,
        ...stages.map((stage) => showScore(found.quality[stage] ?? null)),
      ]),
    },
  };
}
