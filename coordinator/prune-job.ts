// The life of a prune job on one machine: check the inputs, take the output folder, start workers, plan, gradients, then
// every budget, and the output appears whole. Each stage is stored before the next begins (see job/job-context.ts).
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../checkpoint/write-pruned.ts';
import type { Dataset, EncodedDataset } from '../dataset/load-dataset.ts';
import { planTokens } from '../dataset/plan.ts';
import type { FisherInformation } from '../pruning/fisher.ts';
import { BlobStore } from '../shared/blobs/blob-store.ts';
import { cacheFolder } from '../shared/cache-folder.ts';
import { EspalierError } from '../shared/errors.ts';
import { Releases } from '../shared/lifecycle.ts';
import type { DeviceClass } from '../shared/rpc/protocol.ts';
import { type Costs, modelCosts } from './job/budget.ts';
import { buildReport, type MeasuredBudget } from './job/build-report.ts';
import {
  type Evaluation,
  type JobContext,
  type PlannedSamples,
  storedStage,
  type TaskEnvironment,
} from './job/job-context.ts';
import { modelBlobs } from './job/model-blobs.ts';
import { drawnLabels } from './job/model-labels.ts';
import { type ModelInput, openData, openEvaluation, openModel } from './job/open-inputs.ts';
import type { JobEvent } from './job-events.ts';
import type { PruneReport } from './prune-report.ts';
import type { PruneSettings } from './prune-settings.ts';
import { fisherFromTensors, fisherToTensors, runFisher } from './stages/fisher.ts';
import { type LatencyShape, medianLatency } from './stages/latency.ts';
import { drawSamples, planSamples, tokensPerBatch } from './stages/plan.ts';
import { type PrunedBudget, pruneToBudget } from './stages/prune-budget.ts';
import { type StoredScores, storedQuality } from './stages/quality.ts';
import { openRunFolder, type RunFolder } from './store/run-folder.ts';
import { openWorkers } from './workers/workers.ts';

export interface RunContext {
  readonly signal: AbortSignal;
  onEvent(event: JobEvent): void;
}

/** Fisher groups as published: the batch sizes of the reference. */
const USUAL_GROUP = 32;
const USUAL_GROUP_OF_WINDOWS = 12;
const LEAST_TOKENS_PER_BATCH = 128;
const LATENCY = { batchSize: 8, repeats: 15 };
const BLOB_CACHE_BYTES = 20e9;

/** Prunes a model to every budget of the settings and writes `out`. @throws EspalierError; the output is then as before,
 * and what was finished is kept for `resume`, unless the model's numbers are not finite. */
export async function runPruneJob(settings: PruneSettings, { signal, onEvent }: RunContext): Promise<PruneReport[]> {
  const releases = new Releases();
  const start = performance.now();
  let isHopeless = false;
  try {
    onEvent({ kind: 'stage-started', stage: 'load', steps: 1 });
    const inputs = await openInputs(settings, releases, onEvent);
    const folder = await openRunFolder({
      out: settings.out,
      force: settings.force,
      resume: settings.resume,
      fingerprint: fingerprint(settings, inputs),
      onNotice: (text) => onEvent({ kind: 'notice', text }),
    });
    releases.add(() => (isHopeless ? folder.abandon() : folder.close()));
    await folder.requireSpace(outputBytes(settings, inputs));
    signal.throwIfAborted();
    const blobs = await BlobStore.open(cacheFolder('blobs'), { limitBytes: BLOB_CACHE_BYTES });
    const stored = await folder.readJson<StoredPlan>('plan');
    const workers = await openWorkers({
      settings: settings.workers,
      blobDir: cacheFolder('blobs'),
      deviceClass: stored?.deviceClass ?? null,
      onEvent,
      signal,
    });
    releases.add(() => workers.close());
    const loadSeconds = (performance.now() - start) / 1000;
    onEvent({ kind: 'stage-finished', stage: 'load', seconds: loadSeconds, reused: false });

    const environment = { workers, signal, emit: onEvent };
    const finished = await withFittingBatches(environment, folder, stored, (limit) =>
      pruneAll(settings, inputs, { ...environment, folder, blobs }, limit),
    );
    const seconds = { load: loadSeconds, total: (performance.now() - start) / 1000 };
    const reports = finished.budgets.map((budget) => buildReport(settings, inputs, workers, finished, budget, seconds));
    for (const report of reports)
      await writeFile(
        path.join(await folder.staging(budgetText(settings, report)), 'report.json'),
        `${JSON.stringify(report, null, 2)}\n`,
      );
    signal.throwIfAborted();
    await folder.commit();
    return reports;
  } catch (caught) {
    // Resumed, the same inputs would give the same numbers.
    isHopeless = caught instanceof EspalierError && caught.code === 'not_finite';
    throw caught;
  } finally {
    await releases.run();
  }
}

/** What was read and checked before any work. */
export interface PruneInputs {
  readonly model: ModelInput;
  readonly data: Dataset;
  readonly drawn: EncodedDataset;
  readonly evaluation: Evaluation | null;
  readonly costs: Costs;
  readonly groupSize: number;
}

/** What all budgets share, and each of them. */
export interface FinishedJob {
  readonly calibration: PlannedSamples;
  readonly dense: StoredScores | null;
  readonly fisherSeconds: number;
  readonly denseSeconds: number;
  readonly latency: LatencyShape;
  readonly latencySeconds: readonly number[];
  readonly budgets: readonly MeasuredBudget[];
}

interface StoredPlan {
  readonly tokensPerBatch: number;
  readonly deviceClass: DeviceClass;
}

async function openInputs(
  settings: PruneSettings,
  releases: Releases,
  onEvent: (event: JobEvent) => void,
): Promise<PruneInputs> {
  const model = await openModel(settings.model, releases);
  const { config } = model.checkpoint;
  if (config.raw.espalier !== undefined)
    throw new EspalierError(
      'model_unsupported',
      `${settings.model}: got a model that is already pruned, expected a dense one`,
      { action: 'give the model that it was made from' },
    );
  const data = await openData(settings.data, model, settings, settings.labels === 'data');
  const evaluation = settings.evaluation === null ? null : await openEvaluation(settings.evaluation, model, settings);
  const drawn = drawSamples(data, settings);
  if (drawn.samples.length < settings.samples && !settings.replacement)
    onEvent({
      kind: 'notice',
      text: `${settings.data}: all ${drawn.samples.length} samples are used, fewer than the ${settings.samples} asked for`,
    });
  for (const [file, encoded] of [
    [settings.data, drawn],
    [settings.evaluation, evaluation?.encoded],
  ] as const)
    if (encoded !== undefined && encoded.truncated > 0)
      onEvent({
        kind: 'notice',
        text: `${file}: ${encoded.truncated} of ${encoded.samples.length} samples were longer than ${data.maxTokens} tokens and were cut`,
      });
  const tokens =
    settings.macsLength ?? drawn.samples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0) / drawn.samples.length;
  const costs = modelCosts(config, tokens, settings.budgets);
  const groupSize =
    settings.fisherGroup ?? (config.task === 'question-answering' ? USUAL_GROUP_OF_WINDOWS : USUAL_GROUP);
  return { model, data, drawn, evaluation, costs, groupSize };
}

/** All that stored stages depend on; where the work runs is not part of it, but for the device class (see StoredPlan). */
function fingerprint(settings: PruneSettings, inputs: PruneInputs): object {
  const { seed, samples, replacement, labels, damping, macsLength, method, maxLength, stride, columns, metric } =
    settings;
  return {
    model: inputs.model.digest.digest,
    data: inputs.data.digest,
    evaluation: inputs.evaluation?.dataset.digest ?? null,
    budgets: settings.budgets.map(({ value }) => value),
    fisherGroup: inputs.groupSize,
    ...{ seed, samples, replacement, labels, damping, macsLength, method, maxLength, stride, columns, metric },
  };
}

function outputBytes(settings: PruneSettings, { model }: PruneInputs): number {
  const elementBytes = (settings.dtype ?? model.checkpoint.dtype) === 'F32' ? 4 : 2;
  const budgets = settings.budgets.reduce((sum, { value }) => sum + value, 0);
  return settings.budgets.length * 2e6 + model.checkpoint.parameters * elementBytes * Math.max(1, budgets) + 64e6;
}

// Out of memory replans the whole job with half the tokens a batch: batches are part of the plan, so that results stay
// the same wherever a task runs.
async function withFittingBatches<T>(
  environment: TaskEnvironment,
  folder: RunFolder,
  stored: StoredPlan | null,
  run: (tokensPerBatch: number) => Promise<T>,
): Promise<T> {
  const { deviceClass } = environment.workers;
  for (let limit = stored?.tokensPerBatch ?? tokensPerBatch(deviceClass); ; limit = Math.floor(limit / 2)) {
    await folder.writeJson('plan', { tokensPerBatch: limit, deviceClass } satisfies StoredPlan);
    try {
      return await run(limit);
    } catch (caught) {
      if (!(caught instanceof EspalierError && caught.code === 'out_of_memory') || limit / 2 < LEAST_TOKENS_PER_BATCH)
        throw caught;
      environment.emit({
        kind: 'notice',
        text: `out of memory with ${limit} tokens a batch: planning again with ${Math.floor(limit / 2)}`,
      });
    }
  }
}

async function pruneAll(
  settings: PruneSettings,
  inputs: PruneInputs,
  parts: TaskEnvironment & { folder: RunFolder; blobs: BlobStore },
  tokensPerBatch: number,
): Promise<FinishedJob> {
  const { checkpoint } = inputs.model;
  const { config } = checkpoint;
  const device = parts.workers.deviceClass;
  const model = await modelBlobs(checkpoint, parts.blobs);
  const planned = (samples: EncodedDataset['samples'], groupSize: number, heldOut: boolean) =>
    planSamples(samples, { config, device, groupSize, tokensPerBatch, heldOut });
  let calibration = planned(inputs.drawn.samples, inputs.groupSize, true);
  if (settings.labels === 'model')
    calibration = planned(await drawnLabels(parts, model, calibration, settings.seed), inputs.groupSize, true);
  const evaluation =
    inputs.evaluation === null
      ? null
      : { ...inputs.evaluation, ...planned(inputs.evaluation.encoded.samples, 1, false) };
  const context: JobContext = { ...parts, checkpoint, model, calibration, evaluation };
  // Another plan, or other batches of the evaluation data, is another run: its stages lie apart.
  const prefix = `plan-${calibration.blob.digest.slice(0, 16)}-${tokensPerBatch}`;

  const dense =
    evaluation === null ? null : await storedQuality(context, model, null, { name: `${prefix}/quality-dense` });
  const fisher = await storedStage<FisherInformation>(context, 'fisher', {
    name: `${prefix}/fisher`,
    steps: calibration.plan.shards.length,
    async read() {
      const stored = await parts.folder.readTensors(`${prefix}/fisher`);
      return (
        stored && { value: fisherFromTensors(stored.tensors, config.layers), seconds: Number(stored.meta.seconds) }
      );
    },
    run: (progress) => runFisher(context, progress),
    write: (value, seconds) => parts.folder.writeTensors(`${prefix}/fisher`, fisherToTensors(value), { seconds }),
  });
  const pruned: { budget: PruneSettings['budgets'][number]; result: PrunedBudget }[] = [];
  for (const budget of settings.budgets)
    pruned.push({ budget, result: await pruneToBudget(context, fisher.value, inputs.costs, budget, settings, prefix) });
  const budgets: MeasuredBudget[] = [];
  for (const { budget, result } of pruned)
    budgets.push(
      await exportBudget(context, settings, budget, result, `${prefix}/budget-${budget.value}/quality-result`),
    );

  const mean = planTokens(calibration.plan) / calibration.plan.samples.length;
  const latency: LatencyShape = { ...LATENCY, tokens: Math.max(1, Math.min(config.maxTokens, Math.round(mean))) };
  parts.emit({ kind: 'stage-started', stage: 'latency', steps: 1 });
  const start = performance.now();
  const masks = pruned.map(({ result }) => result.masks);
  const latencySeconds = await medianLatency(context, masks, latency);
  parts.emit({ kind: 'stage-finished', stage: 'latency', seconds: (performance.now() - start) / 1000, reused: false });
  return {
    calibration,
    dense: dense?.value ?? null,
    denseSeconds: dense?.seconds ?? 0,
    fisherSeconds: fisher.seconds,
    latency,
    latencySeconds,
    budgets,
  };
}

// Writes a pruned model and measures it as it was written: what the report says is what the user gets.
async function exportBudget(
  context: JobContext,
  settings: PruneSettings,
  budget: PruneSettings['budgets'][number],
  result: PrunedBudget,
  name: string,
): Promise<MeasuredBudget> {
  const { checkpoint, blobs, folder } = context;
  const directory = await folder.staging(budget.text);
  context.emit({ kind: 'stage-started', stage: 'export', budget: budget.text, steps: 1 });
  const start = performance.now();
  const dtype = settings.dtype ?? checkpoint.dtype;
  const { bytes } = await writePrunedCheckpoint(checkpoint, result.masks, dtype, directory);
  const written = await openCheckpoint(directory);
  try {
    const model = await modelBlobs(written, blobs);
    context.emit({
      kind: 'stage-finished',
      stage: 'export',
      budget: budget.text,
      seconds: (performance.now() - start) / 1000,
      reused: false,
    });
    const scores =
      context.evaluation === null ? null : await storedQuality(context, model, null, { name, budget: budget.text });
    return {
      budget,
      result,
      dtype,
      bytes,
      digest: String(model.ref.weights[0].digest),
      scores: scores?.value ?? null,
      seconds: scores?.seconds ?? 0,
    };
  } finally {
    await written.close();
  }
}

function budgetText(settings: PruneSettings, report: PruneReport): string {
  const found = settings.budgets.find(({ value }) => value === report.budget);
  if (found === undefined) throw new EspalierError('internal', `budget ${report.budget}: got no folder, expected one`);
  return found.text;
}
