// Hidden states of teacher and student between two sub-layers, a shard at a time, kept within a memory limit. What was
// dropped is computed again from the embeddings: the same operations in the same order, hence the same bits.
import type { Plan, Shard } from '../../dataset/plan.ts';
import type { Masks } from '../../pruning/masks.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { type DeviceBatch, uploadBatch } from '../model/device-batch.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { Forward } from '../model/forward.ts';
import { featureScales, prefixKey } from './scaled-student.ts';
import { features, normalize, output, projection } from './sub-layer.ts';

/** A micro-batch before sub-layer `step`. */
export interface BatchState {
  readonly batch: DeviceBatch;
  /** Student's hidden states, [b·n, D]. */
  readonly student: DeviceTensor;
  /** Teacher's hidden states, [b·n, D]. */
  readonly teacher: DeviceTensor;
}

interface ShardState {
  readonly key: string;
  readonly step: number;
  readonly bytes: number;
  readonly batches: readonly BatchState[];
}

/** What is tuned against what. */
export interface TuningPair {
  /** Names model, plan and teacher by content. */
  readonly key: string;
  readonly plan: Plan;
  readonly teacher: EncoderWeights;
  /** The model that both were made from. */
  readonly dense: EncoderWeights;
  /** The student without any scale. */
  readonly student: EncoderWeights;
  /** Masks of the student with the scales found so far. */
  readonly masks: Masks;
}

export class TuningStates {
  private readonly forward: Forward;
  private readonly limitBytes: number;
  private readonly kept = new Map<number, ShardState>();
  private bytes = 0;

  constructor(forward: Forward, limitBytes: number) {
    this.forward = forward;
    this.limitBytes = limitBytes;
  }

  /** Runs `use` on each micro-batch's states before sub-layer `step`, from what is kept or from the embeddings, and keeps
   * them for the next sub-layer where the limit allows. `use` runs in a scope of its own; it must not keep tensors. */
  visit(pair: TuningPair, shardIndex: number, step: number, use: (state: BatchState, index: number) => void): void {
    const shard = pair.plan.shards[shardIndex];
    const found = this.take(pair, shardIndex, step);
    const bytes = stateBytes(shard, pair.student.config.hiddenSize);
    const keep = this.bytes + bytes <= this.limitBytes;
    const batches: BatchState[] = [];
    try {
      shard.batches.forEach((_, index) => {
        const state = this.advance(pair, shard, index, found, step);
        batches.push(state);
        this.forward.ops.engine.scope(() => use(state, index));
        if (!keep) this.release(batches.splice(0));
      });
    } catch (error) {
      this.release(batches);
      this.release(found?.batches ?? []);
      throw error;
    }
    if (!keep) return;
    this.kept.set(shardIndex, { key: stateKey(pair, step), step, bytes, batches });
    this.bytes += bytes;
  }

  /** Releases everything. */
  clear(): void {
    for (const state of this.kept.values()) this.release(state.batches);
    this.kept.clear();
    this.bytes = 0;
  }

  // The kept state of a shard, when it lies on this pair's way to `step`; one of another run is released.
  private take(pair: TuningPair, shardIndex: number, step: number): ShardState | null {
    const state = this.kept.get(shardIndex);
    if (state === undefined) return null;
    this.kept.delete(shardIndex);
    this.bytes -= state.bytes;
    if (state.step <= step && state.key === stateKey(pair, state.step)) return state;
    this.release(state.batches);
    return null;
  }

  private advance(pair: TuningPair, shard: Shard, index: number, found: ShardState | null, step: number): BatchState {
    const { engine } = this.forward.ops;
    let state = found === null ? this.embed(pair, shard, index) : found.batches[index];
    try {
      for (let at = found?.step ?? 0; at < step; at++) {
        const before = state;
        const next = engine.scope(() => this.next(pair, at, before));
        engine.dispose(before.student);
        if (before.teacher !== before.student) engine.dispose(before.teacher);
        state = { batch: before.batch, ...next };
      }
    } catch (error) {
      this.release([state]);
      throw error;
    }
    return state;
  }

  private embed(pair: TuningPair, shard: Shard, index: number): BatchState {
    const { engine } = this.forward.ops;
    return engine.scope(() => {
      const batch = uploadBatch(engine, pair.plan.samples, shard.batches[index], pair.student.config);
      const student = engine.scope(() => this.forward.embed(pair.student, batch));
      return { batch, student, teacher: student };
    });
  }

  private next(
    pair: TuningPair,
    step: number,
    { batch, student, teacher }: BatchState,
  ): { student: DeviceTensor; teacher: DeviceTensor } {
    const { forward } = this;
    const { ops } = forward;
    const taught = normalize(
      forward,
      pair.teacher,
      step,
      output(forward, pair.teacher, step, features(forward, pair.teacher, step, teacher, batch), teacher),
    );
    let found = features(forward, pair.student, step, student, batch);
    const scales = featureScales(pair.masks, step, pair.student.config.headSize);
    const kernel = projection(pair.student, step);
    if (found !== null && kernel !== null && scales !== null)
      found = ops.mul(found, ops.engine.upload(scales, [1, scales.length]));
    return {
      teacher: taught,
      student: normalize(forward, pair.student, step, output(forward, pair.student, step, found, student)),
    };
  }

  private release(batches: readonly BatchState[]): void {
    const { engine } = this.forward.ops;
    for (const { batch, student, teacher } of batches) {
      for (const tensor of [student, teacher, batch.tokenIds, batch.typeIds, batch.firstRows]) engine.dispose(tensor);
      for (const tensor of [batch.paddingBias, batch.tokenRows]) if (tensor !== null) engine.dispose(tensor);
    }
  }
}

function stateKey(pair: TuningPair, step: number): string {
  return `${pair.key}/${step}/${prefixKey(pair.masks, step)}`;
}

// Two hidden states and what the batch holds, in bytes.
function stateBytes(shard: Shard, hiddenSize: number): number {
  return shard.batches.reduce((sum, batch) => sum + batch.members.length * batch.tokens * (2 * hiddenSize + 4) * 4, 0);
}
