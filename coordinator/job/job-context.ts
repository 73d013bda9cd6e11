// What the stages of a running job share. Made by load, released by the job.
import type { OnnxWeightDType } from '../../checkpoint/onnx/onnx-model.ts';
import type { WrittenOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import type { Checkpoint, WeightDType } from '../../checkpoint/open-checkpoint.ts';
import type { PrunedLayout } from '../../checkpoint/write-pruned.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { Dataset, EncodedDataset } from '../../dataset/load-dataset.ts';
import type { Scores } from '../../dataset/metrics.ts';
import type { Plan } from '../../dataset/plan.ts';
import type { DropBound } from '../../pruning/drop-bound.ts';
import type { Masks } from '../../pruning/masks.ts';
import type { Patch } from '../../pruning/patch.ts';
import type { OpenVariables } from '../../pruning/search-remaining.ts';
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import type { JobEvent, Stage } from '../job-events.ts';
import type { LatencyTables } from '../stages/profile.ts';
import type { JobHome } from '../store/stage-store.ts';
import type { Workers } from '../workers/workers.ts';
import type { MemoryRoom } from './memory-room.ts';
import type { ModelBlobs, WeightPlace } from './model-blobs.ts';
import type { LendBlob } from './scratch-blob.ts';
import type { WritesBehind } from './writes-behind.ts';

/** Who runs a job: when it wants it to stop, and where it is told what happens. */
export interface RunContext {
  readonly signal: AbortSignal;
  onEvent(event: JobEvent): void;
}

/** A plan that workers can be sent. */
export interface PlannedSamples {
  readonly plan: Plan;
  readonly blob: BlobSource;
}

/** Samples that quality is measured on. */
export interface Evaluation {
  readonly dataset: Pick<Dataset, 'digest' | 'rows'>;
  readonly encoded: Pick<EncodedDataset, 'samples' | 'truncated'> & {
    /** See EncodedDataset. */
    score(outputs: readonly Float32Array[], metric: string | null): Scores | Promise<Scores>;
  };
  readonly metric: string | null;
}

/** Calibration samples that take part in nothing that a model is pruned with, and judge what it loses. */
export interface HeldOut {
  readonly samples: readonly EncodedSample[];
  /** Samples, or questions with all their windows. */
  readonly examples: number;
  /** Metric that is judged. */
  readonly metric: string;
  /** See `judgeDrop`. */
  judge(
    outputs: { readonly dense: readonly Float32Array[]; readonly pruned: readonly Float32Array[] },
    confidence: number,
  ): DropBound | Promise<DropBound>;
}

/** What every task of a job needs. */
export interface TaskEnvironment {
  readonly workers: Workers;
  readonly signal: AbortSignal;
  readonly emit: (event: JobEvent) => void;
}

/** What takes seconds here and not on a worker, computed where the job wants it. */
export interface JobCompute {
  /** `rearrangeFromFile`. @param fisher the file. */
  rearrange(fisher: string, masks: Masks, open?: OpenVariables): Promise<Masks>;
  /** `writePrunedCheckpoint`. @returns size and SHA-256 of model.safetensors. */
  write(
    source: Checkpoint,
    masks: Masks,
    dtype: WeightDType,
    directory: string,
    layout: PrunedLayout,
    patches: readonly Patch[],
  ): Promise<{ readonly bytes: number; readonly sha256: string }>;
  /** Writes model.onnx beside the model in `directory`; see `writeOnnx`. */
  writeOnnx(directory: string, dtype: OnnxWeightDType): Promise<WrittenOnnx>;
}

/** What a job needs beside its settings and inputs, the same on one machine and in a cluster. */
export interface PruneEnvironment extends TaskEnvironment {
  readonly home: JobHome;
  readonly weights: WeightPlace;
  /** Puts a blob of the scratch folder where workers of this machine find it; left out: all workers are sent it. */
  readonly lendBlob?: LendBlob;
  readonly compute: JobCompute;
  /** Bytes of partial sums that a sub-layer's tuning may bring here at once; at least two come. */
  readonly mostSumBytes: number;
  /** Where latency tables come from; left out: they are measured. */
  readonly latencyTables?: LatencyTables;
  /** What jobs beside this one take their memory from, too; left out: there are none. */
  readonly memory?: MemoryRoom;
}

export interface JobContext extends PruneEnvironment {
  readonly checkpoint: Checkpoint;
  readonly model: ModelBlobs;
  readonly calibration: PlannedSamples;
  readonly evaluation: (Evaluation & PlannedSamples) | null;
  /** Left out: each stage is stored before it is told to have ended, and the next begins. */
  readonly behind?: WritesBehind;
}

/** Longest that one task may compute; a worker that freezes is noticed earlier, by its keepalive. */
export const TASK_DEADLINE_MS = 900_000;

/** A stage with its output stored: taken from the state where it is there, else run, stored and timed. It is told to have ended when it
 * is stored; the next one may have begun by then (`JobContext.behind`).
 * @returns its value and the seconds that it took when it ran. */
export async function storedStage<T>(
  context: Pick<JobContext, 'emit' | 'behind'>,
  stage: Stage,
  options: {
    readonly name: string;
    readonly budget?: string;
    readonly steps: number;
    /** What workers were asked for before: until it is there the stage is neither told of nor timed, only run. */
    readonly after?: Promise<unknown>;
    read(): Promise<{ value: T; seconds: number } | null>;
    run(progress: (done: number) => void): Promise<T>;
    write(value: T, seconds: number): Promise<void>;
    /** What is told of the value when the stage ends. */
    note?(value: T): string;
  },
): Promise<{ value: T; seconds: number }> {
  const { name, budget, steps, after } = options;
  const label = budget === undefined ? { stage } : { stage, budget };
  await context.behind?.written(name);
  const stored = await options.read();
  const noted = (value: T) => (options.note === undefined ? {} : { note: options.note(value) });
  if (stored !== null) {
    await after;
    context.emit({ kind: 'stage-finished', ...label, seconds: stored.seconds, reused: true, ...noted(stored.value) });
    return stored;
  }
  let startMs = Number.NaN;
  const begin = () => {
    context.emit({ kind: 'stage-started', ...label, steps });
    startMs = performance.now();
  };
  if (after === undefined) begin();
  const running = options.run((done) => {
    if (!Number.isNaN(startMs)) context.emit({ kind: 'stage-progress', ...label, done, steps });
  });
  if (after !== undefined) await afterOrEnded(after, running).then(begin);
  const value = await running;
  const seconds = (performance.now() - startMs) / 1000;
  await ended(context, name, async () => {
    await options.write(value, seconds);
    context.emit({ kind: 'stage-finished', ...label, seconds, reused: false, ...noted(value) });
  });
  return { value, seconds };
}

/** Waits for the first; where that fails, for the end of the second, too. */
async function afterOrEnded(after: Promise<unknown>, running: Promise<unknown>): Promise<void> {
  // Told by whoever waits for it.
  running.catch(() => {});
  try {
    await after;
  } catch (caught) {
    await running.catch(() => {});
    throw caught;
  }
}

/** A stage that stores what it has found as it goes, so that a run that was killed goes on with the next part. It is told to have ended
 * when all is stored, as of `storedStage`.
 * @param stored what an earlier run had found: whole where it is `done` of all `steps`.
 * @returns its value and the seconds that it took in all runs. */
export async function resumedStage<T>(
  context: Pick<JobContext, 'emit' | 'behind'>,
  stage: Stage,
  options: {
    readonly name: string;
    readonly budget: string;
    readonly steps: number;
    readonly stored: { readonly value: T; readonly seconds: number; readonly done: number } | null;
    /** Goes on from what is stored; what is left to store of it is added to `JobContext.behind`. @param elapsed seconds of all runs so
     * far. */
    run(elapsed: () => number, progress: (done: number) => void): Promise<T>;
    /** What is told of the value when the stage ends; null: nothing. */
    note?(value: T): string | null;
  },
): Promise<{ value: T; seconds: number }> {
  const { name, budget, steps, stored } = options;
  const label = { stage, budget };
  if (stored?.done === steps) {
    context.emit({ kind: 'stage-finished', ...label, seconds: stored.seconds, reused: true });
    return { value: stored.value, seconds: stored.seconds };
  }
  context.emit({ kind: 'stage-started', ...label, steps });
  const start = performance.now();
  const elapsed = () => (stored?.seconds ?? 0) + (performance.now() - start) / 1000;
  const value = await options.run(elapsed, (done) => context.emit({ kind: 'stage-progress', ...label, done, steps }));
  const seconds = elapsed();
  const note = options.note?.(value) ?? null;
  await ended(context, name, async () => {
    context.emit({ kind: 'stage-finished', ...label, seconds, reused: false, ...(note !== null && { note }) });
  });
  return { value, seconds };
}

/** Does what is left of a stage now, or behind the next ones. */
async function ended({ behind }: Pick<JobContext, 'behind'>, name: string, rest: () => Promise<void>): Promise<void> {
  if (behind === undefined) await rest();
  else behind.add(name, rest);
}
