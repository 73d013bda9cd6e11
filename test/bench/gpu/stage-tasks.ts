// A stage as the tasks that a job's coordinator cuts it into, sent to the executor of one worker.
import type { PlannedSamples } from '../../../coordinator/job/job-context.ts';
import { maskSet } from '../../../coordinator/job/mask-set.ts';
import { blobRef, type ModelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { tunableSteps } from '../../../coordinator/stages/tune.ts';
import type { ShardSpan } from '../../../pruning/fold-tree.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { withScales } from '../../../pruning/sub-layers.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning-settings.ts';
import { type BlobSource, blobOfParts } from '../../../shared/blobs/blob-source.ts';
import type { BlobStore } from '../../../shared/blobs/blob-store.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { safetensorsParts } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { TaskExecutor } from '../../../worker/task-executor.ts';

const SETTINGS = JSON.stringify(DEFAULT_TUNING_SETTINGS);

export interface StageTasksOptions {
  readonly executor: TaskExecutor;
  /** Where the executor finds blobs: model and plan are in it. */
  readonly blobs: BlobStore;
  readonly model: ModelBlobs;
  readonly planned: PlannedSamples;
  readonly masks: { readonly teacher: Masks; readonly student: Masks };
}

/** Seconds of a pass over all sub-layers, sums and solves apart. */
export interface TuneSeconds {
  readonly sumsSeconds: number;
  readonly solveSeconds: number;
}

export class StageTasks {
  readonly #options: StageTasksOptions;
  readonly #common: { readonly model: ModelBlobs['ref']; readonly plan: ReturnType<typeof blobRef> };

  constructor(options: StageTasksOptions) {
    this.#options = options;
    this.#common = { model: options.model.ref, plan: blobRef(options.planned.blob) };
  }

  /** Gradients of all samples, a shard a task. */
  async fisher(): Promise<void> {
    const dense = { student: null, gram: false, bySample: false };
    for (const [shard] of this.#options.planned.plan.shards.entries())
      await this.#run('fisher', { ...this.#common, ...dense, shards: { first: shard, end: shard + 1 } });
  }

  /** Outputs of the dense model for some shards, a task each. */
  async evaluate(shards: readonly number[]): Promise<void> {
    for (const shard of shards)
      await this.#run('evaluate', {
        ...this.#common,
        shards: { first: shard, end: shard + 1 },
        student: null,
        precision: '',
      });
  }

  /** Scales of every sub-layer, each on the student that the ones before have made, as a job with one worker does: the solve
   * makes its sums itself. */
  async tune(): Promise<void> {
    await this.#tuneEach(async (common, spans) => {
      const [fit, heldOut = null] = spans.map((shards) => ({ shards }));
      return this.#run('solve', { ...common, fit, heldOut, settingsJson: SETTINGS, states: [], next: [] });
    });
  }

  /** The same with a task for the sums and one that solves from them. Storing sums between the two is not counted. */
  async tuneApart(): Promise<TuneSeconds> {
    const { blobs } = this.#options;
    let sumsSeconds = 0;
    let solveSeconds = 0;
    await this.#tuneEach(async (common, spans) => {
      const sums: BlobSource[] = [];
      for (const shards of spans) {
        const start = performance.now();
        const tensors = await this.#run('normalEquations', { ...common, shards, states: null });
        sumsSeconds += (performance.now() - start) / 1000;
        const blob = blobOfParts(safetensorsParts(tensors));
        await blobs.put(blob.digest, blob.sizeBytes, blob.open());
        sums.push(blob);
      }
      const [fit, heldOut = null] = sums.map((blob) => ({ sums: blobRef(blob) }));
      const start = performance.now();
      const solved = await this.#run('solve', {
        ...common,
        fit,
        heldOut,
        settingsJson: SETTINGS,
        states: [],
        next: [],
      });
      solveSeconds += (performance.now() - start) / 1000;
      for (const blob of sums) await blobs.remove(blob.digest);
      return solved;
    });
    return { sumsSeconds, solveSeconds };
  }

  /** @param solve of one sub-layer; the shards are those that are fitted, and those that judge where there are some. */
  async #tuneEach(solve: (common: object, spans: readonly ShardSpan[]) => Promise<NamedTensor[]>): Promise<void> {
    const { masks, planned } = this.#options;
    const { plan } = planned;
    const spans = [
      { first: 0, end: plan.fitShards },
      { first: plan.fitShards, end: plan.shards.length },
    ].filter(({ first, end }) => end > first);
    const teacher = decodedMasks(masks.teacher);
    let { student } = masks;
    for (const step of tunableSteps(student)) {
      const { layer, subLayer } = step;
      const solved = await solve({ ...this.#common, teacher, student: decodedMasks(student), layer, subLayer }, spans);
      const scales = solved.find(({ name }) => name === 'scales')?.data as Float64Array;
      student = withScales(student, step, scales);
    }
  }

  #run(task: NonNullable<RunRequest['task']>, body: object): Promise<NamedTensor[]> {
    // Every field is there, as a decoded request has them.
    const request = { taskId: `bench/${task}`, task, [task]: body } as RunRequest;
    return this.#options.executor.run(request, new AbortController().signal);
  }
}

function decodedMasks(masks: Masks) {
  return { ...maskSet(masks), patches: [] };
}
