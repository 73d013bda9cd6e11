// Jobs beside each other: how much of the dense quality each keeps, how much faster it became, and the trade-off of those that
// prune one model in several ways or with several seeds.
import { gradualSettings, gradualWords } from '../gradual-settings.ts';
import type { LatencyBudgetReport, PruneReport } from '../prune-report.ts';
import { drawDotChart } from './dot-chart.ts';
import type { Figure, Legend } from './figure.ts';
import { showRatio, showScore, showShare } from './figures.ts';
import { html } from './html.ts';
import { type ChartSeries, drawLineChart } from './line-chart.ts';
import {
  finalQuality,
  macsShare,
  mainPass,
  metricUnit,
  type ReportedBudget,
  type ReportedJob,
  runtimeName,
  timedPasses,
} from './reported-job.ts';

/** A job under the name that its campaign gives it. */
export interface NamedJob {
  readonly name: string;
  readonly job: ReportedJob;
}

/** Share of the dense model's quality that each job keeps; null where none was measured. */
export function qualityByJob(jobs: readonly NamedJob[]): Figure | null {
  return byJob(jobs, {
    title: 'Quality kept, by job',
    text: 'Quality of each pruned model in percent of its dense model, by the metric of its job; the dashed line is the dense model. A symbol a budget.',
    valueTitle: 'quality kept (% of the dense model)',
    reference: 100,
    value({ report }) {
      const [score, dense] = [finalQuality(report), report.quality.dense];
      return score === null || dense === null || dense <= 0 ? null : (100 * score) / dense;
    },
    show: (value) => showShare(value / 100),
  });
}

/** Speed-up of each job in the first setting that it was timed in; null where none was. */
export function speedByJob(jobs: readonly NamedJob[]): Figure | null {
  return byJob(jobs, {
    title: 'Speed-up, by job',
    text: 'How many times faster than its dense model each pruned model is, by the medians of a forward pass in the first setting that the job was timed in; the dashed line is the dense model. A symbol a budget.',
    valueTitle: 'speed-up (× the dense model)',
    reference: 1,
    value({ report }) {
      const [pass] = timedPasses(report);
      return pass === undefined ? null : pass.dense.median / pass.pruned.median;
    },
    show: showRatio,
  });
}

interface ByJob {
  readonly title: string;
  readonly text: string;
  readonly valueTitle: string;
  readonly reference: number;
  value(budget: ReportedBudget): number | null;
  show(value: number): string;
}

function byJob(jobs: readonly NamedJob[], { title, text, valueTitle, reference, value, show }: ByJob): Figure | null {
  const budgets = budgetNames(jobs);
  const series = budgets.map((budget, style) => ({
    ...{ name: `budget ${budget}`, style },
    points: jobs.flatMap(({ job }, row) => {
      const found = job.budgets.find(({ name }) => name === budget);
      const at = found === undefined ? null : value(found);
      return at === null ? [] : [{ row, value: at }];
    }),
  }));
  if (series.every(({ points }) => points.length === 0)) return null;
  const names = jobs.map(({ name }) => name);
  return {
    ...{ title, text: html`${text}`, legend: series },
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawDotChart({ name: title, valueTitle, nameTitle: 'job (name)', names, series, reference }, width),
      },
    ],
    table: {
      caption: title,
      head: ['job', ...budgets.map((budget) => `budget ${budget}`)],
      rows: names.map((name, row) => [
        name,
        ...series.map(({ points }) => {
          const found = points.find((point) => point.row === row);
          return found === undefined ? 'none' : show(found.value);
        }),
      ]),
    },
  };
}

/** All budgets, the largest first. */
function budgetNames(jobs: readonly NamedJob[]): string[] {
  const shares = new Map<string, number>();
  for (const { job } of jobs) for (const { name, report } of job.budgets) shares.set(name, macsShare(report));
  return [...shares].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name]) => name);
}

/** What quality is drawn over. */
interface TradeOffAxis {
  readonly title: string;
  /** Of the figure's text, in front of what all have. */
  readonly text: string;
  /** Of the axis, with its unit. */
  readonly axisTitle: string;
  readonly column: string;
  /** What jobs must share beside the model, so that their values can be compared; null: the job has none. */
  group(job: ReportedJob): string | null;
  /** A share of the dense model's; null: not measured. */
  share(job: ReportedJob, report: PruneReport): number | null;
}

/** Quality against MACs, a panel a model; null where nothing was measured. */
export function tradeOffs(jobs: readonly NamedJob[]): Figure | null {
  return tradeOffsOver(jobs, {
    title: 'Quality against MACs, by model',
    text: '',
    axisTitle: 'MACs kept (% of the dense encoder)',
    column: 'MACs kept',
    group: () => '',
    share: (_, report) => macsShare(report),
  });
}

/** Quality against measured time of jobs with budgets of time, a panel a model, setting and machine; null where there are
 * none, or nothing was measured. */
export function timeTradeOffs(jobs: readonly NamedJob[]): Figure | null {
  return tradeOffsOver(jobs, {
    title: 'Quality against time, by model',
    text: 'Of jobs with budgets of time: over the measured time of a forward pass in the setting of these budgets, one machine a panel. ',
    axisTitle: 'forward pass (% of the dense model)',
    column: 'time kept',
    group({ budgets }) {
      const asked = budgets.find(({ report }) => report.latencyBudget !== undefined)?.report.latencyBudget;
      return asked === undefined ? null : `${settingOf(asked)} on ${asked.machine}`;
    },
    share(job, report) {
      const pass = mainPass(job, report);
      return pass === undefined ? null : pass.pruned.median / pass.dense.median;
    },
  });
}

function settingOf({ runtime, batchSize, tokens }: LatencyBudgetReport): string {
  return `${runtimeName(runtime)}, ${batchSize} × ${tokens} tokens`;
}

function tradeOffsOver(jobs: readonly NamedJob[], axis: TradeOffAxis): Figure | null {
  const groups = groupedBy(
    jobs.filter(({ job }) => job.budgets[0].report.quality.dense !== null && axis.group(job) !== null),
    ({ job }) => {
      const [{ report }] = job.budgets;
      return JSON.stringify([report.model.digest, report.evaluation?.digest, report.metric, axis.group(job)]);
    },
  )
    .map((members) => ({ members, title: titleOf(members, axis), series: variantsOf(members, axis) }))
    .filter(({ series }) => series.some(({ points }) => points.length > 0));
  if (groups.length === 0) return null;
  return {
    title: axis.title,
    text: html`${axis.text}Jobs that prune the same model and are measured on the same samples share a panel; jobs that differ in nothing but
their seed are one line, at the median of its seeds, with whiskers from the least to the greatest. The dashed line is the dense
model. The vertical axes differ and do not begin at zero.`,
    panels: groups.map(({ members, title, series }) => ({
      ...{ title, size: 'half' as const, legend: series as Legend },
      draw: (width: number) => drawLineChart(chartOf(members[0].job.budgets[0].report, title, series, axis), width),
    })),
    table: {
      caption: axis.title.replace(',', ''),
      head: ['model', 'settings', 'budget', axis.column, 'median', 'least', 'greatest'],
      rows: groups.flatMap(({ title, series }) =>
        series.flatMap(({ name, points }) =>
          points.map(({ x, y, lowY = y, highY = y, budget }) => [
            ...[title, name, budget, showShare(x / 100)],
            ...[y, lowY, highY].map(showScore),
          ]),
        ),
      ),
    },
  };
}

function chartOf(
  { metric, quality }: PruneReport,
  title: string,
  series: readonly ChartSeries[],
  { axisTitle, column }: TradeOffAxis,
) {
  const named = metric ?? 'quality';
  const most = Math.max(100, ...series.flatMap(({ points }) => points.map(({ x }) => x)));
  return {
    ...{ name: `${named} over the share of ${column}, ${title}`, series, height: 250 },
    x: { title: axisTitle, domain: [0, most === 100 ? 100 : most * 1.04] as const },
    y: { title: `${named} (${metricUnit(named)})` },
    reference: { value: quality.dense ?? 0, text: `dense ${showScore(quality.dense)}` },
  };
}

function titleOf([{ job }]: readonly NamedJob[], axis: TradeOffAxis): string {
  const { model, evaluation } = job.budgets[0].report;
  const named = evaluation?.name === undefined ? model.name : `${model.name} on ${evaluation.name}`;
  const group = axis.group(job);
  return group ? `${named}, ${group}` : named;
}

/** Jobs that differ in nothing but their seed, as one series. */
function variantsOf(members: readonly NamedJob[], axis: TradeOffAxis) {
  const settings = members.map((member) => ({ member, values: settingsOf(member.job.budgets[0].report) }));
  const differing = Object.keys(settings[0].values).filter((name) =>
    settings.some(({ values }) => values[name] !== settings[0].values[name]),
  );
  const variants = groupedBy(settings, ({ values }) => JSON.stringify(differing.map((name) => values[name])));
  return variants.map((variant, style) => {
    const named = differing.map((name) => `${name} ${variant[0].values[name]}`).join(', ');
    const budgets = budgetNames(variant.map(({ member }) => member));
    return {
      ...{ name: named === '' ? 'as all of the panel' : named, style },
      points: budgets
        .flatMap((budget) => {
          const found = variant.flatMap(({ member: { job } }) =>
            job.budgets.flatMap(({ name: own, report }) => {
              const [share, score] = [axis.share(job, report), finalQuality(report)];
              return own !== budget || share === null || score === null ? [] : [{ share, score }];
            }),
          );
          const scores = found.map(({ score }) => score).sort((a, b) => a - b);
          if (scores.length === 0) return [];
          const spread = scores.length > 1 ? { lowY: scores[0], highY: scores[scores.length - 1] } : {};
          const x = median(found.map(({ share }) => 100 * share).sort((a, b) => a - b));
          return [{ x, y: median(scores), budget, ...spread }];
        })
        // What keeps more MACs may be measured to take less time.
        .sort((a, b) => b.x - a.x),
    };
  });
}

/** What may make two jobs on one model differ, but for the seed. */
function settingsOf(report: PruneReport): Readonly<Record<string, string>> {
  const { method, damping, labels, samples, fisherGroup, replacement, dtype, data } = report;
  // Older reports know neither.
  const { search, neuronMultiple }: Partial<PruneReport> = report;
  const values = { method, damping, labels, samples, fisherGroup, replacement, dtype, search, neuronMultiple };
  Object.assign(values, Object.fromEntries(gradualWords(gradualSettings(report.gradual))));
  const texts = Object.entries(values).map(([name, value]) => [name, String(value ?? 'none')]);
  return { ...Object.fromEntries(texts), data: data.name ?? data.digest.slice(0, 8) };
}

/** Of sorted values, at least one. */
function median(sorted: readonly number[]): number {
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** In the order in which the keys come first. */
function groupedBy<Item>(items: readonly Item[], key: (item: Item) => string): Item[][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups.values()];
}
