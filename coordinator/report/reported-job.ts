// What a page is made of: the reports of one job, and what is read out of one report in several places.
import type { LatencyBudgetReport, PruneReport } from '../prune-report.ts';
import { lastStage } from '../prune-settings.ts';

/** One budget of a job. */
export interface ReportedBudget {
  /** Of its folder. */
  readonly name: string;
  readonly report: PruneReport;
}

export interface ReportedJob {
  readonly name: string;
  /** At least one, the one that keeps most MACs first. */
  readonly budgets: readonly ReportedBudget[];
}

/** Some number of seconds as it was measured; the spread where it was. */
export interface Timing {
  readonly median: number;
  readonly p10: number | null;
  readonly p90: number | null;
}

/** A forward pass in one setting, dense and pruned. */
export interface TimedPass {
  /** Says where and on what: the same for all budgets that can be compared. */
  readonly setting: string;
  readonly repeats: number;
  readonly dense: Timing;
  readonly pruned: Timing;
}

/** Puts budgets in their order. */
export function reportedJob(name: string, budgets: readonly ReportedBudget[]): ReportedJob {
  const order = (a: ReportedBudget, b: ReportedBudget) =>
    b.report.macs.pruned - a.report.macs.pruned || (a.name < b.name ? -1 : 1);
  return { name, budgets: [...budgets].sort(order) };
}

/** Quality of what was written; null where nothing was evaluated. */
export function finalQuality({ quality, method }: PruneReport): number | null {
  return quality[lastStage(method)] ?? null;
}

/** Share of the dense encoder's MACs. */
export function macsShare({ macs }: PruneReport): number {
  return macs.pruned / macs.dense;
}

/** Every setting in which the report tells of time. */
export function timedPasses(report: PruneReport): TimedPass[] {
  // Older reports have the medians of one setting alone.
  const { speed = [] }: Partial<PruneReport> = report;
  if (speed.length > 0)
    return speed.map(({ runtime, batchSize, tokens, threads, repeats, dense, pruned }) => ({
      setting: `${runtimeName(runtime)}, ${batchSize} × ${tokens} tokens, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
      ...{ repeats, dense, pruned },
    }));
  const { latency } = report;
  if (latency === null) return [];
  const { batchSize, tokens, repeats, denseSeconds, prunedSeconds } = latency;
  return [
    {
      setting: `${runtimeName('engine')}, ${batchSize} × ${tokens} tokens`,
      repeats,
      dense: { median: denseSeconds, p10: null, p90: null },
      pruned: { median: prunedSeconds, p10: null, p90: null },
    },
  ];
}

/** The pass of one of a job's reports in the setting that the job is judged by: that of its budgets of time, else the first.
 * Undefined where none was timed there. */
export function mainPass({ budgets }: ReportedJob, report: PruneReport): TimedPass | undefined {
  const asked = budgets.find((budget) => budget.report.latencyBudget !== undefined)?.report.latencyBudget;
  return asked === undefined ? timedPasses(report)[0] : passOf(report, asked);
}

/** The pass in a runtime at a shape; undefined where none was timed there. */
export function passOf(
  report: PruneReport,
  { runtime, batchSize, tokens }: Pick<LatencyBudgetReport, 'runtime' | 'batchSize' | 'tokens'>,
): TimedPass | undefined {
  const { speed = [] }: Partial<PruneReport> = report;
  const at = speed.findIndex((one) => one.runtime === runtime && one.batchSize === batchSize && one.tokens === tokens);
  return at < 0 ? undefined : timedPasses(report)[at];
}

/** What people call a runtime of `speed`. */
export function runtimeName(runtime: string): string {
  return { engine: "Espalier's engine", onnxruntime: 'ONNX Runtime' }[runtime] ?? runtime;
}

/** What a metric's numbers are. */
export function metricUnit(metric: string): string {
  return ['spearman', 'pearson', 'matthews'].includes(metric) ? 'correlation, −1 to 1' : 'fraction, 0 to 1';
}

const PROPORTIONS = ['accuracy', 'exact_match', 'subset_accuracy'];
const NORMAL_95 = 1.959963984540054;

/** The 95 % interval of a share of samples (Wilson 1927); null for metrics that are no such share, and without samples. */
export function scoreInterval(
  { metric, evaluation, task }: Pick<PruneReport, 'metric' | 'evaluation' | 'task'>,
  score: number | null,
): { readonly low: number; readonly high: number } | null {
  // Accuracy of token classification counts words, of which a report does not tell the number.
  const isCounted = metric !== null && PROPORTIONS.includes(metric) && task !== 'token-classification';
  const samples = evaluation?.rows ?? 0;
  if (!isCounted || score === null || samples === 0) return null;
  const z2 = NORMAL_95 ** 2 / samples;
  const centre = (score + z2 / 2) / (1 + z2);
  const half = Math.sqrt(z2 * (score * (1 - score) + z2 / 4)) / (1 + z2);
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}
