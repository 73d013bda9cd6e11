// A teacher and its student, and the names of what depends on them.
import type { Plan } from '../../dataset/plan.ts';
import type { Masks } from '../../pruning/masks.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { Forward } from '../model/forward.ts';
import type { PatchName } from '../model/student.ts';
import { featureScales, prefixKey } from './scaled-student.ts';
import { projection } from './sub-layer.ts';

/** What hidden states are made of. */
export interface StatesPair {
  /** Names model, plan and teacher by content. */
  readonly key: string;
  readonly plan: Plan;
  readonly teacher: EncoderWeights;
  /** The student without any scale, patches in place. */
  readonly student: EncoderWeights;
  /** Masks of the student with the scales found so far. */
  readonly masks: Masks;
  /** The student's patches by content. */
  readonly patches: readonly PatchName[];
}

/** What is tuned against what. */
export interface TuningPair extends StatesPair {
  /** The neurons that the teacher lacks, without any head. */
  readonly rest: EncoderWeights;
}

/** Name of the states of some shards before a sub-layer, the same on every worker. */
export function statesKey(pair: StatesPair, step: number, { first, end }: { first: number; end: number }): string {
  return `${stateKey(pair, step)}/${first}-${end}`;
}

// A digest of all masks, scales and patches, asked for by every shard of a task.
const keysOfPairs = new WeakMap<StatesPair, Map<number, string>>();

/** Name of the states before a sub-layer. */
export function stateKey(pair: StatesPair, step: number): string {
  const keys = keysOfPairs.get(pair) ?? new Map<number, string>();
  keysOfPairs.set(pair, keys);
  const key = keys.get(step) ?? `${pair.key}/${step}/${prefixKey(pair.masks, step, pair.patches)}`;
  keys.set(step, key);
  return key;
}

/** The student's output projection, as `projection` has it, with the scales found so far; null where nothing is kept. A new tensor of
 * the scope that is open. */
export function scaledProjection({ ops }: Forward, pair: StatesPair, step: number): DeviceTensor | null {
  const kernel = projection(pair.student, step);
  if (kernel === null) return null;
  const scales = featureScales(pair.masks, step, pair.student.config.headSize);
  if (scales === null) return ops.copy(kernel);
  const [rows] = kernel.shape;
  const all = new Float32Array(rows);
  all.set(scales);
  return ops.mul(kernel, ops.engine.upload(all, [rows, 1]));
}
