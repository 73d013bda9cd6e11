// Reports for pages and cards: numbers that were made up, in the shapes that matter.
import type {
  GradualStepReport,
  LatencyBudgetReport,
  MaxDropReport,
  PruneReport,
  TuningReport,
} from '../../../coordinator/prune-report.ts';
import { type ReportedJob, reportedJob } from '../../../coordinator/report/reported-job.ts';
import type { MeasuredSpeed } from '../../../coordinator/stages/latency.ts';
import { pruneReport } from '../cli/reports.ts';

const DIGEST = 'f860f6814918559644236f5981881f586b53292b4002725ab8af5e221bf246b3';

export interface SampleOptions {
  readonly layers?: number;
  readonly budgets?: readonly string[];
  readonly seed?: number;
  readonly changes?: Partial<PruneReport>;
}

/** A job of a model with 12 heads and 3072 neurons a layer. */
export function sampleJob({ layers = 12, budgets = ['0.5'], seed = 0, changes = {} }: SampleOptions = {}): ReportedJob {
  const found = budgets.map((name) => ({
    name,
    report: sampleReport(Number(name) || 0.5, { layers, budgets, seed, changes }),
  }));
  return reportedJob(found[0].report.model.name, found);
}

export function sampleReport(
  budget: number,
  { layers = 12, budgets = [String(budget)], seed = 0, changes = {} }: SampleOptions = {},
): PruneReport {
  const lost = (1 - budget) ** 3 / 4 + seed / 500;
  const kept = (full: number) =>
    Array.from({ length: layers }, (_, i) => Math.round(full * budget ** ((i + 1) / layers)));
  const scores = { dense: 0.9243, search: 0.92 - 2 * lost, rearrange: 0.92 - 1.6 * lost, tune: 0.924 - lost };
  const fall = Array.from({ length: layers }, (_, i) => 1 / (i + 1) ** 2);
  return pruneReport({
    model: { name: 'bert-base-sst2', digest: DIGEST, type: 'bert' },
    data: { name: 'train.jsonl', digest: DIGEST, rows: 4096, truncated: 3 },
    evaluation: { name: 'dev.jsonl', digest: DIGEST, rows: 872, truncated: 0 },
    command: ['prune', 'bert-base-sst2', '--data', 'train.jsonl', '--budget', budgets.join(','), '--out', 'pruned'],
    ...{ budget, seed, quality: scores },
    scores: Object.fromEntries(
      Object.entries(scores).map(([stage, accuracy]) => [stage, { accuracy, f1: accuracy - 0.01 }]),
    ),
    macs: { dense: 2_174_215_680, pruned: Math.round(2_174_215_680 * budget) },
    parameters: { dense: 109_483_778, pruned: Math.round(24e6 + 85e6 * budget) },
    bytes: { dense: 437_991_240, pruned: Math.round(96e6 + 340e6 * budget) },
    ...{ heads: kept(12), neurons: kept(3072), denseLayer: { heads: 12, neurons: 3072 } },
    importance: { heads: fall, neurons: fall.toReversed() },
    tuning: Array.from({ length: 2 * layers }, (_, step) => tuningOf(step, budget)),
    latency: { batchSize: 8, tokens: 128, repeats: 15, denseSeconds: 0.2, prunedSeconds: 0.02 + 0.18 * budget },
    speed: [speedOf('onnxruntime', 0.05, budget), speedOf('engine', 0.2, budget)],
    workerTimes: [
      { worker: 1, tasks: 40, seconds: { evaluate: 10.5, fisher: 21.25, normal_equations: 44 } },
      { worker: 2, tasks: 38, seconds: { evaluate: 11.5, fisher: 20.75, solve: 3.5 } },
    ],
    deviceClass: { kind: 'cpu', model: 'AuthenticAMD avx512', intraOpThreads: 1, tf32: false },
    ...{ plan: DIGEST, digest: DIGEST, dtype: 'F32' },
    ...changes,
  });
}

function speedOf(runtime: MeasuredSpeed['runtime'], seconds: number, budget: number): MeasuredSpeed {
  const spread = (median: number) => ({ median, p10: median * 0.95, p90: median * 1.25 });
  return {
    ...{ runtime, batchSize: 8, tokens: 128, repeats: 15, input: 'valid token ids, no padding' },
    ...{ version: '1.2.3', provider: 'cpu', threads: 1, machine: 'AMD EPYC 9654' },
    ...{ dense: spread(seconds), pruned: spread(seconds * (0.1 + 0.9 * budget)), ratio: 0.1 + 0.9 * budget },
  };
}

function tuningOf(step: number, budget: number): TuningReport {
  return {
    ...{ layer: Math.floor(step / 2), subLayer: step % 2 === 0 ? 'attention' : 'ffn', kept: 5, largestScale: 1.2 },
    ...{ rung: 'ridge 0.01', heldOutBefore: 0.5 + step, heldOutAfter: (0.5 + step) * (0.4 + budget / 2) },
    tried: [{ rung: 'ridge 0.01', heldOut: 0.25 }],
  };
}

/** A budget of 60 % of the time that a first search missed by 10 % and a second by 2 %. */
export function sampleLatencyBudget(changes: Partial<LatencyBudgetReport> = {}): LatencyBudgetReport {
  return {
    ...{ kind: 'latency', value: 0.6, runtime: 'onnxruntime', batchSize: 8, tokens: 128, tolerance: 0.05 },
    table: {
      ...{ source: 'cached', runtime: 'onnxruntime 1.2.3', device: 'AMD EPYC 9654, 8 cores', threads: 1 },
      seconds: {
        attention: Array.from({ length: 13 }, (_, heads) => (heads === 0 ? 0 : 0.0004 + 0.0001 * heads)),
        ffn: [0, 768, 1536, 3072].map((neurons) => ({ neurons, seconds: neurons / 1e6 })),
        rest: 0.002,
      },
    },
    ...{ machine: 'AMD EPYC 9654, 8 cores', share: 0.545, predictedShare: 0.5432 },
    rounds: [
      { share: 0.6, predicted: 0.5987, denseSeconds: 0.05, seconds: 0.033, byGoal: 1.1 },
      { share: 0.545, predicted: 0.5432, denseSeconds: 0.05, seconds: 0.0294, byGoal: 0.98 },
    ],
    ...{ measuredByGoal: 1.021, met: true },
    ...changes,
  };
}

/** A loss of 0.003, of which the bound decided. */
export function sampleMaxDrop(): MaxDropReport {
  const of = (macs: number, drop: number) => ({
    ...{ macs, score: 0.92 - drop, drop, bound: drop + 0.004, within: drop < 0.01 },
  });
  return {
    ...{
      allowed: 0.01,
      metric: 'accuracy',
      decidedBy: 'bound',
      confidence: 0.95,
      boundConfidence: 0.99,
      resamples: 1000,
    },
    ...{ heldOut: { examples: 512, samples: 512 }, dense: 0.92, candidates: [of(0.5, 0.002), of(0.3, 0.02)] },
    written: of(0.5, 0.003),
  };
}

/** A job with a budget of each kind. */
export function jobOfAllKinds(): ReportedJob {
  return reportedJob('bert-base-sst2', [
    { name: '0.5', report: sampleReport(0.5) },
    { name: 'latency-0.6', report: sampleReport(0.55, { changes: { latencyBudget: sampleLatencyBudget() } }) },
    {
      name: 'latency-12ms',
      report: sampleReport(0.3, {
        changes: {
          latencyBudget: sampleLatencyBudget({
            ...{ kind: 'latency-ms', value: 12, rounds: [], measuredByGoal: null, met: null },
            table: { source: 'given', runtime: 'onnxruntime 1.2.3', device: 'a telephone, 4 cores', threads: 4 },
          }),
        },
      }),
    },
    { name: 'max-drop-0.01', report: sampleReport(0.7, { changes: { maxDrop: sampleMaxDrop() } }) },
  ]);
}

const GRID = [0.8, 0.65, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2];

/** A gradual job: every budget below its steps of the grid. */
export function sampleGradualJob({ layers = 12, budgets = ['0.5'], changes = {} }: SampleOptions = {}): ReportedJob {
  const found = budgets.map((name) => ({
    name,
    report: sampleGradualReport(Number(name), { layers, budgets, changes }),
  }));
  return reportedJob(found[0].report.model.name, found);
}

export function sampleGradualReport(
  budget: number,
  { layers = 12, budgets = [String(budget)], changes = {} }: SampleOptions = {},
): PruneReport {
  const paper = sampleReport(budget, { layers, budgets });
  const { dense, tune: gradual } = paper.scores;
  const steps = [...GRID.filter((share) => share > budget), budget].map((share) => stepOf(share, layers, paper));
  return {
    ...paper,
    method: 'gradual',
    command: ['prune', 'bert-base-sst2', '--data', 'train.jsonl', '--budget', String(budget), '--method', 'gradual'],
    quality: { dense: dense.accuracy, search: null, rearrange: null, tune: null, gradual: gradual.accuracy },
    scores: { dense, gradual },
    tuning: [],
    steps,
    seconds: { ...paper.seconds, fisher: 0, search: 0, rearrange: 0, tune: 0, gradual: steps.length * 4 },
    workerTimes: [
      { worker: 1, tasks: 40, seconds: { evaluate: 10.5, gradients: 21.25, refit_equations: 44, refit: 8 } },
    ],
    ...changes,
  };
}

function stepOf(share: number, layers: number, { macs }: PruneReport): GradualStepReport {
  const { heads, neurons } = sampleReport(share, { layers });
  return {
    ...{ share, macs: Math.round(macs.dense * share) - 7, heads, neurons, divergence: (1 - share) ** 5 / 3 },
    seconds: { gradients: 1.25, search: 0.002, refit: 2.5, divergence: 0.248 },
    refits: Array.from({ length: 2 * layers }, (_, at) => ({
      ...{ layer: Math.floor(at / 2), subLayer: at % 2 === 0 ? 'attention' : 'ffn', kept: at % 2 === 0 ? 6 : 1536 },
      ...{ rung: 'ridge 0.01', heldOutBefore: 0.5 + at / 10, heldOutAfter: (0.5 + at / 10) * (0.2 + share / 2) },
      tried: [
        { rung: 'ridge 0.001', heldOut: 0.6 },
        { rung: 'ridge 0.01', heldOut: 0.4 },
      ],
    })),
  };
}

/** What a job has that measured nothing and was stored by an older version. */
export const BARE: Partial<PruneReport> = {
  ...{ metric: null, evaluation: null, latency: null, speed: [], tuning: [], method: 'search', scores: {} },
  quality: { dense: null, search: null, rearrange: null, tune: null },
};

/** A report as a version wrote it that knew no names, command, importance or workers, and called the paper's method "tune". */
export function olderReport(report: PruneReport): PruneReport {
  const { speed, onnx, command, importance, denseLayer, workerTimes, ...older } = report;
  const { name, ...data } = report.data;
  const method = report.method === 'paper' ? 'tune' : report.method;
  return { ...older, schema: 1, method, data } as unknown as PruneReport;
}
