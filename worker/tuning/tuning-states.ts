// Hidden states of teacher and student between two sub-layers, a shard at a time, kept within a memory limit. What was
// dropped is computed again from the embeddings: the same operations in the same order, hence the same bits. Beside them
// what all tasks of a sub-layer share.
import type { MicroBatch } from '../../dataset/plan.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import type { Forward } from '../model/forward.ts';
import type { HostStates, StatesOfShard } from './given-states.ts';
import { bytesOf, KeptOutputs } from './kept-outputs.ts';
import { KeptSums } from './kept-sums.ts';
import { Latest } from './latest.ts';
import { type Projection, projectionTensors } from './output-projection.ts';
import { PASS_PRECISION } from './precision.ts';
import { inputPatch } from './scaled-student.ts';
import { type DeviceStretch, overBatches, positionsOf, stretchesOf, stretchTensors, uploadStretch } from './stretch.ts';
import { contribution, features, nextStates, projection } from './sub-layer.ts';
import { type StatesPair, scaledProjection, stateKey } from './tuning-pair.ts';

/** A stretch of a shard before sub-layer `step`. */
export interface StretchState {
  readonly stretch: DeviceStretch;
  /** Student's hidden states, [positions, D]. */
  readonly student: DeviceTensor;
  /** Teacher's hidden states, [positions, D]. */
  readonly teacher: DeviceTensor;
  /** What summing this sub-layer has computed already of the way to the next; null: to be computed again. */
  readonly ahead: Ahead | null;
}

/** Parts of a sub-layer's output that do not depend on its scales. */
export interface Ahead {
  /** Student's features, [positions, features]; null where nothing is kept. */
  readonly features: DeviceTensor | null;
  /** Teacher's hidden states after the sub-layer, [positions, D]. */
  readonly teacher: DeviceTensor;
}

const FLOAT_BYTES = 4;
/** Numbers of 4 bytes beside the states, for each position. */
const INDICES = 6;

interface ShardState {
  readonly key: string;
  /** Of what is computed ahead: the patch of the sub-layer's input projections. */
  readonly inputs: string | null;
  readonly step: number;
  readonly bytes: number;
  readonly stretches: readonly StretchState[];
}

export class TuningStates {
  private readonly forward: Forward;
  private readonly checkCancelled: () => void;
  private limitBytes: number;
  private readonly kept = new Map<number, ShardState>();
  private bytes = 0;
  /** The output projection with the scales of its features; null where nothing is kept. The shards of a sub-layer come one
   * after the other, and ask for that of the sub-layer before. */
  private readonly scaled: Latest<DeviceTensor | null>;
  private readonly projections: Latest<Projection>;
  private readonly outputs: KeptOutputs;
  /** Of the sub-layer that is being solved. */
  readonly sums: KeptSums;
  /** What the shard that is visited may need. */
  private visitedBytes = 0;

  /** @param checkCancelled called before each sub-layer that is computed; throws when nobody waits any more. */
  constructor(forward: Forward, limitBytes: number, checkCancelled: () => void = () => {}) {
    this.forward = forward;
    this.checkCancelled = checkCancelled;
    this.limitBytes = limitBytes;
    const { engine } = forward.ops;
    this.scaled = new Latest(engine, (kernel) => (kernel === null ? [] : [kernel]));
    this.projections = new Latest(engine, projectionTensors);
    this.outputs = new KeptOutputs(engine);
    this.sums = new KeptSums(engine);
  }

  /** Runs `use` on each stretch's states before sub-layer `step`, from what is kept, or from what is given, or from the
   * embeddings, and keeps them for the next sub-layer where the limit allows, with what `use` returns of the way there.
   * `use` runs in a scope of its own; it must not keep other tensors.
   * @param given states before this very sub-layer. */
  visit(
    pair: StatesPair,
    shardIndex: number,
    step: number,
    use: (state: StretchState) => Ahead | null,
    given: StatesOfShard = () => null,
  ): void {
    const { engine } = this.forward.ops;
    const shard = pair.plan.shards[shardIndex];
    const found = this.take(pair, shardIndex, step);
    const hostStates = found === null ? given(shardIndex) : null;
    const positions = shard.batches.reduce((sum, batch) => sum + positionsOf(pair.plan, batch), 0);
    const { hiddenSize } = pair.student.config;
    const stateBytes = positions * (2 * hiddenSize + INDICES) * FLOAT_BYTES;
    const aheadBytes = positions * (hiddenSize + (projection(pair.student, step)?.shape[0] ?? 0)) * FLOAT_BYTES;
    this.visitedBytes = stateBytes + aheadBytes;
    this.makeRoom(pair);
    const keep = this.bytes + stateBytes <= this.limitBytes;
    const keepAhead = this.bytes + stateBytes + aheadBytes <= this.limitBytes;
    const stretches: StretchState[] = [];
    try {
      stretchesOf(pair.plan, shardIndex).forEach((range, index) => {
        const batches = shard.batches.slice(range.first, range.end);
        const state =
          hostStates === null
            ? engine.withPrecision(PASS_PRECISION, () => {
                const begun = found === null ? this.embed(pair, batches) : found.stretches[index];
                return this.advance(pair, begun, { from: found?.step ?? 0, to: step });
              })
            : this.upload(
                pair,
                batches,
                batches.map((_, i) => hostStates(range.first + i)),
              );
        stretches.push(state);
        // They outlive every scope that is open here.
        engine.keep(tensorsOf(state));
        const ahead = engine.withPrecision(PASS_PRECISION, () => engine.scope(() => use(state)));
        if (ahead !== null) engine.keep(aheadTensors(ahead));
        if (ahead !== state.ahead) releaseAhead(engine, state.ahead);
        if (!keepAhead) releaseAhead(engine, ahead);
        stretches[stretches.length - 1] = { ...state, ahead: keepAhead ? ahead : null };
        if (!keep) this.release(stretches.splice(0));
      });
    } catch (error) {
      this.release(stretches);
      this.release(found?.stretches ?? []);
      throw error;
    }
    if (!keep) return;
    const bytes = stateBytes + (keepAhead ? aheadBytes : 0);
    const inputs = inputPatch(pair.patches, step);
    this.kept.set(shardIndex, { key: stateKey(pair, step), inputs, step, bytes, stretches });
    this.bytes += bytes;
  }

  /** The projection of a sub-layer for all of its tasks: it stays here until that of another is asked for.
   * @param make its tensors may belong to a scope. */
  projection(pair: StatesPair, step: number, make: () => Projection): Projection {
    return this.projections.get(stateKey(pair, step), make);
  }

  /** What the teacher's sub-layer adds to some rows of the shard that is visited, [rows, D]: as it was made for another student of
   * this teacher, or made now, and kept where the limit allows. Hidden states go before. It stays here or in the scope that
   * is open. @param name of step, shard and rows. */
  teacherOutput(pair: StatesPair, name: string, make: () => DeviceTensor | null): DeviceTensor | null {
    const key = `${pair.key}/${name}`;
    const found = this.outputs.get(key);
    if (found !== undefined) return found;
    const made = make();
    if (made !== null && this.usedBytes + bytesOf(made) <= this.limitBytes) this.outputs.put(key, made);
    return made;
  }

  /** True where `visit` would start from what is kept. */
  has(pair: StatesPair, shardIndex: number, step: number): boolean {
    const state = this.kept.get(shardIndex);
    return state !== undefined && state.step <= step && state.key === stateKey(pair, state.step);
  }

  /** After memory ran out: releases everything and keeps at most half as much from now on. */
  shrink(): void {
    const kept = this.bytes + this.outputs.bytes;
    if (kept > 0) this.limitBytes = kept / 2;
    this.clear();
  }

  /** Releases everything. */
  clear(): void {
    for (const state of this.kept.values()) this.release(state.stretches);
    this.kept.clear();
    this.bytes = 0;
    this.scaled.release();
    this.projections.release();
    this.outputs.clear();
    this.sums.clear();
  }

  private get usedBytes(): number {
    return this.bytes + this.visitedBytes + this.outputs.bytes;
  }

  // A job that has ended, or was given to other workers, must not keep the next one from keeping anything.
  private makeRoom(pair: StatesPair): void {
    if (this.usedBytes <= this.limitBytes) return;
    this.outputs.dropOthers(`${pair.key}/`);
    for (const [shard, state] of this.kept) {
      if (state.key.startsWith(`${pair.key}/`)) continue;
      this.kept.delete(shard);
      this.bytes -= state.bytes;
      this.release(state.stretches);
    }
    this.outputs.shrinkTo(Math.max(0, this.limitBytes - this.bytes - this.visitedBytes));
  }

  // The kept state of a shard, when it lies on this pair's way to `step`; one of another run is released.
  private take(pair: StatesPair, shardIndex: number, step: number): ShardState | null {
    const state = this.kept.get(shardIndex);
    if (state === undefined) return null;
    this.kept.delete(shardIndex);
    this.bytes -= state.bytes;
    if (state.step > step || state.key !== stateKey(pair, state.step)) {
      this.release(state.stretches);
      return null;
    }
    if (state.inputs === inputPatch(pair.patches, state.step)) return state;
    for (const { ahead } of state.stretches) releaseAhead(this.forward.ops.engine, ahead);
    return { ...state, stretches: state.stretches.map((stretch) => ({ ...stretch, ahead: null })) };
  }

  private advance(
    pair: StatesPair,
    begun: StretchState,
    { from, to }: { readonly from: number; readonly to: number },
  ): StretchState {
    const { engine } = this.forward.ops;
    let state = begun;
    try {
      for (let at = from; at < to; at++) {
        this.checkCancelled();
        const before = state;
        const makeKernel = () => engine.scope(() => scaledProjection(this.forward, pair, at));
        const kernel = this.scaled.get(stateKey(pair, at + 1), makeKernel);
        const next = engine.scope(() => this.next(pair, at, kernel, before));
        // The teacher's next states may have been computed ahead: they live on.
        for (const tensor of [before.student, before.teacher, before.ahead?.features])
          if (tensor) engine.dispose(tensor);
        state = { stretch: before.stretch, ...next, ahead: null };
      }
    } catch (error) {
      this.release([state]);
      throw error;
    }
    return state;
  }

  private embed(pair: StatesPair, batches: readonly MicroBatch[]): StretchState {
    const { forward } = this;
    const { ops } = forward;
    return ops.engine.scope(() => {
      const stretch = uploadStretch(ops, pair.plan.samples, batches, pair.student.config);
      const student = overBatches(ops, stretch, (batch) => forward.embed(pair.student, batch));
      return { stretch, student, teacher: student, ahead: null };
    });
  }

  private upload(pair: StatesPair, batches: readonly MicroBatch[], states: readonly HostStates[]): StretchState {
    const { engine } = this.forward.ops;
    return engine.scope(() => {
      const { hiddenSize } = pair.student.config;
      const stretch = uploadStretch(this.forward.ops, pair.plan.samples, batches, pair.student.config);
      const [student, teacher] = (['student', 'teacher'] as const).map((side) =>
        engine.upload(joined(states.map((state) => state[side])), [stretch.positions, hiddenSize]),
      );
      return { stretch, student, teacher, ahead: null };
    });
  }

  private next(
    pair: StatesPair,
    step: number,
    kernel: DeviceTensor | null,
    { stretch, student, teacher, ahead }: StretchState,
  ): { student: DeviceTensor; teacher: DeviceTensor } {
    const { forward } = this;
    const { ops } = forward;
    const found = ahead === null ? features(forward, pair.student, step, student, stretch) : ahead.features;
    const added = found === null || kernel === null ? null : ops.matMul(found, kernel);
    return {
      teacher: ahead?.teacher ?? nextTeacher(forward, pair, step, teacher, stretch),
      student: nextStates(forward, pair.student, step, added, student),
    };
  }

  private release(stretches: readonly StretchState[]): void {
    for (const state of stretches) for (const tensor of tensorsOf(state)) this.forward.ops.engine.dispose(tensor);
  }
}

function tensorsOf({ stretch, student, teacher, ahead }: StretchState): DeviceTensor[] {
  return [student, teacher, ...stretchTensors(stretch), ...(ahead === null ? [] : aheadTensors(ahead))];
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function aheadTensors({ features: found, teacher }: Ahead): DeviceTensor[] {
  return found === null ? [teacher] : [found, teacher];
}

/** The teacher's hidden states after a sub-layer, under its masks. @param teacher before it, [positions, D]. */
function nextTeacher(
  forward: Forward,
  pair: StatesPair,
  step: number,
  teacher: DeviceTensor,
  stretch: DeviceStretch,
): DeviceTensor {
  const found = features(forward, pair.teacher, step, teacher, stretch);
  return nextStates(forward, pair.teacher, step, contribution(forward, pair.teacher, step, found), teacher);
}

function releaseAhead(engine: Engine, ahead: Ahead | null): void {
  for (const tensor of ahead === null ? [] : aheadTensors(ahead)) engine.dispose(tensor);
}
