// What a refit fits: the projections of one sub-layer that are one system, with all that tasks do with them.
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { DevicePatch } from '../model/device-patch.ts';
import type { ShardRange, TaskContext } from '../tasks/task-context.ts';
import { type DeviceSums, foldShards } from '../tuning/device-sums.ts';
import { type Observations, shardSums } from '../tuning/shard-sums.ts';
import type { StatesPair } from '../tuning/tuning-pair.ts';
import type { Ahead, StretchState } from '../tuning/tuning-states.ts';
import type { RefitTerms } from './refit-algebra.ts';
import { type DeviceRoots, rootsOfStretch } from './token-weights.ts';

export interface RefitSubject {
  /** Sums over a node of the plan's tree, folded in the tree's order. The caller releases them.
   * @param roots of the weights of its positions; null: each counts 1. */
  sums(range: ShardRange, roots: DeviceRoots | null): DeviceSums;
  /** Sums as the result of a refit-equations task. */
  toTensors(sums: DeviceSums): NamedTensor[];
  /** The inverse. Tensors belong to the scope that is open.
   * @throws EspalierError "protocol", "not_finite"; "shape_mismatch" for those of another sub-layer. */
  fromTensors(tensors: ReadonlyMap<string, NamedTensor>): DeviceSums;
  /** The projection that the student has, float64 [n + 1, D] with the bias last: of an output n features and D outputs, of inputs D and
   * n. It belongs to the scope that is open. */
  current(): DeviceTensor;
  /** Tensors are those of the sums or of the scope that is open. */
  terms(sums: DeviceSums): RefitTerms;
  /** A projection as `current` gives it, in the checkpoint's units. What `current` gives has the bits that load as what the student
   * has. Tensors belong to the scope that is open. */
  stored(projection: DeviceTensor): StoredProjection;
}

/** As a patch has it. */
export type StoredProjection = Pick<DevicePatch, 'weight' | 'bias'>;

/** Where positions are looked at. */
export interface RefitPositions {
  readonly pair: StatesPair;
  readonly step: number;
}

export interface StretchPositions {
  readonly state: StretchState;
  /** Roots of the weights of its positions, [positions, 1]; null: 1. */
  readonly roots: DeviceTensor | null;
  /** Of sub-layer, shard and stretch. */
  readonly name: string;
}

/** Sums of `range`, as of RefitSubject.
 * @param observe as of `shardSums`. @param sum as there. */
export function sumsOverShards(
  context: TaskContext,
  { pair, step }: RefitPositions,
  { range, roots }: { readonly range: ShardRange; readonly roots: DeviceRoots | null },
  observe: (stretch: StretchPositions) => { observations: Observations; ahead: Ahead | null },
  sum: (observations: Observations) => DeviceSums,
): DeviceSums {
  const { engine, forward, ops } = context;
  return foldShards(forward, range, (shard) =>
    engine.scope(() => {
      const ofShard = roots && rootsOfShard(roots, shard);
      let first = 0;
      const observeNext = (state: StretchState) => {
        const { positions } = state.stretch;
        const own = ofShard && rootsOfStretch(ops, ofShard, first, positions);
        const name = `${step}/${shard}/${first}`;
        first += positions;
        return observe({ state, roots: own, name });
      };
      return shardSums(context, { pair, step, shard }, observeNext, sum);
    }),
  );
}

function rootsOfShard(roots: DeviceRoots, shard: number): DeviceTensor {
  const own = roots.get(shard);
  if (own === undefined) throw new EspalierError('internal', `shard ${shard}: got no weights of its positions`);
  return own;
}

/** True in the last layer of a sequence classifier, after which only first tokens are read. */
export function readsFirst({ teacher }: StatesPair, layer: number): boolean {
  return layer === teacher.layers.length - 1 && teacher.headDense !== null;
}
