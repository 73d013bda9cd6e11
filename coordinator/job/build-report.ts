// report.json of one budget from what the job measured.
import path from 'node:path';
import { espalierVersion } from '../../shared/rpc/version.ts';
import { gradualSettings } from '../gradual-settings.ts';
import {
  type LatencyBudgetReport,
  type LayerImportance,
  type PruneReport,
  type QualityByStage,
  stepSeconds,
} from '../prune-report.ts';
import { lastStage, type PruneRequest } from '../prune-settings.ts';
import { commandWords, type InputNames, inputName } from '../report/command-words.ts';
import type { MeasuredBudget } from '../stages/export.ts';
import type { MeasuredSpeed } from '../stages/latency.ts';
import type { StoredScores } from '../stages/quality.ts';
import type { Workers } from '../workers/workers.ts';
import type { PlannedSamples } from './job-context.ts';
import type { PruneInputs } from './prune-inputs.ts';

/** What all budgets share, and each of them. */
export interface FinishedJob {
  readonly calibration: PlannedSamples;
  readonly tokensPerBatch: number;
  readonly dense: StoredScores | null;
  readonly importance: LayerImportance;
  readonly fisherSeconds: number;
  readonly denseSeconds: number;
  /** Of each budget; null for one that is not of time. */
  readonly latencyBudgets: readonly (LatencyBudgetReport | null)[];
  /** Of each budget. */
  readonly speed: readonly (readonly MeasuredSpeed[])[];
  readonly budgets: readonly MeasuredBudget[];
}

/** @param names what the user calls the inputs; null: what the settings call them. */
export function buildReport(
  settings: PruneRequest,
  inputs: PruneInputs,
  workers: Pick<Workers, 'count' | 'deviceClass' | 'workerTimes'>,
  job: FinishedJob,
  measured: MeasuredBudget,
  seconds: { load: number; total: number },
  named: InputNames | null = null,
): PruneReport {
  const { checkpoint, digest } = inputs.model;
  const { result } = measured;
  const scores: Record<string, Readonly<Record<string, number>>> = {};
  for (const [stage, found] of Object.entries({
    dense: job.dense,
    ...result.scores,
    [lastStage(settings.method)]: measured.scores,
  }))
    if (found) scores[stage] = found.values;
  const primary = job.dense?.primary ?? null;
  const quality = (stage: keyof QualityByStage): number | null =>
    primary === null ? null : (scores[stage]?.[primary] ?? null);
  const called: InputNames = named ?? settings;
  const names = {
    model: inputName(called.model),
    data: inputName(called.data),
    evaluation: called.evaluation === null ? null : inputName(called.evaluation),
    ...(called.latencyTable !== undefined && { latencyTable: inputName(called.latencyTable) }),
    ...(called.otherMachine && { otherMachine: true }),
  };
  const position = job.budgets.indexOf(measured);
  const speed = job.speed[position];
  const latencyBudget = job.latencyBudgets[position];
  return {
    espalier: espalierVersion(),
    schema: 2,
    model: {
      name: path.basename(path.resolve(called.model)),
      digest: digest.digest,
      type: checkpoint.config.modelType,
    },
    data: { name: names.data, digest: inputs.data.digest, rows: inputs.data.rows, truncated: inputs.drawn.truncated },
    evaluation: inputs.evaluation && {
      name: names.evaluation ?? '',
      digest: inputs.evaluation.dataset.digest,
      rows: inputs.evaluation.dataset.rows,
      truncated: inputs.evaluation.encoded.truncated,
    },
    command: commandWords(settings, names),
    seed: settings.seed,
    samples: job.calibration.plan.samples.length,
    replacement: settings.replacement,
    fisherGroup: inputs.groupSize,
    labels: settings.labels,
    method: settings.method,
    damping: settings.damping,
    ...(settings.method === 'gradual' && { gradual: gradualSettings(settings.gradual) }),
    search: settings.search,
    neuronMultiple: settings.neuronMultiple,
    uniform: settings.search === 'uniform',
    budget: measured.maxDrop?.written.macs ?? measured.budget.value,
    task: checkpoint.config.task,
    metric: primary,
    quality: {
      dense: quality('dense'),
      search: quality('search'),
      rearrange: quality('rearrange'),
      tune: quality('tune'),
      gradual: quality('gradual'),
    },
    scores,
    macs: { dense: inputs.costs.totalMacs, pruned: result.macs },
    macsLength: inputs.costs.tokens,
    parameters: { dense: checkpoint.parameters, pruned: result.parameters },
    bytes: { dense: digest.files.reduce((sum, { bytes }) => sum + bytes, 0), pruned: measured.bytes },
    importance: job.importance,
    denseLayer: { heads: checkpoint.config.heads, neurons: checkpoint.config.intermediateSize },
    heads: result.heads,
    neurons: result.neurons,
    tuning: result.tuning,
    ...(result.steps && { steps: result.steps }),
    ...(measured.maxDrop && { maxDrop: measured.maxDrop }),
    latency: engineLatency(speed),
    speed,
    ...(latencyBudget && { latencyBudget }),
    seconds: {
      load: seconds.load,
      fisher: job.fisherSeconds,
      search: result.seconds.search,
      rearrange: result.seconds.rearrange,
      tune: result.seconds.tune,
      ...(result.steps && { gradual: result.steps.reduce((sum, step) => sum + stepSeconds(step), 0) }),
      evaluate: job.denseSeconds + result.seconds.evaluate + measured.seconds,
      total: seconds.total,
    },
    workers: workers.count,
    ...(workers.workerTimes && { workerTimes: workers.workerTimes }),
    deviceClass: { ...workers.deviceClass },
    tokensPerBatch: job.tokensPerBatch,
    plan: job.calibration.blob.digest,
    dtype: measured.dtype,
    digest: measured.digest,
    onnx: measured.onnx,
  };
}

/** What was told before speed was measured in several runtimes. */
function engineLatency(speed: readonly MeasuredSpeed[]): PruneReport['latency'] {
  const first = speed.find(({ runtime }) => runtime === 'engine');
  if (first === undefined) return null;
  const { batchSize, tokens, repeats, dense, pruned } = first;
  return { batchSize, tokens, repeats, denseSeconds: dense.median, prunedSeconds: pruned.median };
}
