// What a refit learns from each position: the student's features with a column of ones, and what they should add up to.

import { subLayerOf } from '../../pruning/sub-layers.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { ShardRange, TaskContext } from '../tasks/task-context.ts';
import { type DeviceSums, foldShards } from '../tuning/device-sums.ts';
import { type Observations, shardSums } from '../tuning/shard-sums.ts';
import { contribution, features, nextStates } from '../tuning/sub-layer.ts';
import type { StatesPair } from '../tuning/tuning-pair.ts';
import type { Ahead, StretchState } from '../tuning/tuning-states.ts';
import { type RefitForm, sumRows, weightedRows } from './refit-sums.ts';
import { rootsOfStretch, uploadRoots, type WeightRoots } from './token-weights.ts';

/** A sub-layer whose sums are made, with what all of its sums share. */
export interface RefitSubLayer {
  readonly pair: StatesPair;
  readonly step: number;
  readonly form: RefitForm;
  /** Of all shards that are summed; null: every position counts 1. */
  readonly roots: WeightRoots | null;
}

/** Sums over a node of the plan's tree, folded in the tree's order. The caller releases them. */
export function refitSums(
  context: TaskContext,
  { pair, step, form, roots }: RefitSubLayer,
  range: ShardRange,
): DeviceSums {
  const { engine, ops } = context;
  const checkCancelled = () => context.checkCancelled();
  return foldShards(ops, range, (shard) =>
    engine.scope(() => {
      // Once a shard: whoever uploads in the midst of a pass leaves a GPU idle.
      const ofShard = roots === null ? null : uploadRoots(engine, roots, shard);
      let first = 0;
      const observe = (state: StretchState) => {
        const { positions } = state.stretch;
        const own = ofShard && rootsOfStretch(ops, ofShard, first, positions);
        const name = `${step}/${shard}/${first}`;
        first += positions;
        return observeStretch(context, { pair, step, name }, state, own);
      };
      return shardSums(context, { pair, step, shard }, observe, (rows) => sumRows(ops, rows, form, checkCancelled));
    }),
  );
}

function observeStretch(
  { forward, ops, states }: TaskContext,
  { pair, step, name }: { readonly pair: StatesPair; readonly step: number; readonly name: string },
  { stretch, student, teacher }: StretchState,
  roots: DeviceTensor | null,
): { observations: Observations; ahead: Ahead | null } {
  const { teacher: dense, student: pruned } = pair;
  const { layer, subLayer } = subLayerOf(step);
  const isLastLayer = layer === dense.layers.length - 1;
  // After the last layer of a sequence classifier only first tokens are read. Its FFN is computed for them alone; its attention,
  // whose other outputs the states after it have, for all.
  const isFirst = isLastLayer && dense.headDense !== null;
  const isFfn = subLayer === 'ffn';
  const firstOf = (x: DeviceTensor) => ops.gather(x, stretch.firstPositions);
  const [own, taught] = isFirst && isFfn ? [firstOf(student), firstOf(teacher)] : [student, teacher];
  const found = features(forward, pruned, step, own, stretch);
  const added = states.teacherOutput(pair, name, () =>
    contribution(forward, dense, step, features(forward, dense, step, taught, stretch)),
  );
  const difference = ops.biasAdd(ops.sub(taught, own), biasOf(dense, step));
  const target = added === null ? difference : ops.add(added, difference);
  const counts = isFirst && !isFfn ? ([found && firstOf(found), firstOf(target)] as const) : ([found, target] as const);
  const observations = weightedRows(ops, ...counts, roots && isFirst ? firstOf(roots) : roots);
  if (isFirst && isFfn) return { observations, ahead: null };
  const ahead = { features: found, teacher: nextStates(forward, dense, step, added, taught) };
  return { observations, ahead };
}

/** Bias of the output projection, [D]. */
export function biasOf(weights: EncoderWeights, step: number): DeviceTensor {
  const { layer, subLayer } = subLayerOf(step);
  const { attentionBias, ffnBias } = weights.layers[layer];
  return subLayer === 'ffn' ? ffnBias : attentionBias;
}
