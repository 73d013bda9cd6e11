// How much each position counts in a refit: w = ½ + ½·g / mean, with g the squared gradient of the sub-layer's output there.
// Positions that the loss depends on more are fitted better, and none is left out.
import type { Plan } from '../../dataset/plan.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { readTensorSync } from '../../shared/safetensors.ts';
import { viewAs } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import { type ShardRange, shardsOf } from '../tasks/task-context.ts';
import { positionsOf } from '../tuning/stretch.ts';

/** Tensor "token_gradients" of a gradients task, F32 [sub-layers, positions of the shards]. */
const GRADIENTS_TENSOR = 'token_gradients';

export interface TokenWeightsInput {
  /** Files of all shards that are summed, each shard once. */
  readonly files: readonly { readonly shards: ShardRange; readonly path: string }[];
  /** What gradients are divided by: positive. */
  readonly mean: number;
}

/** Square roots of the weights of one sub-layer's positions. */
export interface WeightRoots {
  /** Of all shards that are summed, one after the other; positions in the order of a shard's micro-batches. */
  readonly values: Float32Array;
  /** Ascending. */
  readonly shards: readonly { readonly shard: number; readonly positions: number }[];
}

/** The same on the device, [positions, 1] by the number of the shard. */
export type DeviceRoots = ReadonlyMap<number, DeviceTensor>;

export interface WeightsPlace {
  readonly plan: Plan;
  /** Ranges of shards that are summed. */
  readonly summed: readonly ShardRange[];
  /** Of the sub-layer, of `steps`. */
  readonly step: number;
  readonly steps: number;
}

/** Reads the weights of one sub-layer and checks all that a peer chose; blocking, since files that just came are read in less time than
 * it takes to ask for them otherwise.
 * @throws EspalierError "protocol" unless the files hold the gradients of exactly these shards, all of them finite and at
 * least 0, and for a mean or a weight that is out of range. */
export function readWeightRoots(
  { files, mean }: TokenWeightsInput,
  { plan, summed, step, steps }: WeightsPlace,
): WeightRoots {
  if (!(mean > 0 && mean < Number.POSITIVE_INFINITY))
    throw new EspalierError('protocol', `mean of token gradients: got ${mean}, expected a positive number`);
  requireSameShards(plan, files, summed);
  const own = files.toSorted((a, b) => a.shards.first - b.shards.first);
  const shards = own.flatMap((file) =>
    shardsOf(plan, file.shards).map(({ batches }, i) => ({
      shard: file.shards.first + i,
      positions: batches.reduce((sum, batch) => sum + positionsOf(plan, batch), 0),
    })),
  );
  const values = new Float32Array(shards.reduce((sum, { positions }) => sum + positions, 0));
  let at = 0;
  for (const { shards: range, path } of own) {
    const lengths = shards.filter(({ shard }) => shard >= range.first && shard < range.end);
    const length = lengths.reduce((sum, { positions }) => sum + positions, 0);
    const row = readRow(path, { row: step, rows: steps, length });
    let from = 0;
    for (const { positions } of lengths) {
      writeRoots(row.subarray(from, from + positions), mean, values.subarray(at, at + positions));
      from += positions;
      at += positions;
    }
  }
  return { values, shards };
}

/** In one upload, since each would wait for everything issued before it. The tensors belong to the scope that is open. */
export function uploadRoots(ops: Ops, { values, shards }: WeightRoots): DeviceRoots {
  if (shards.length === 0) return new Map();
  const all = ops.engine.upload(values, [values.length, 1]);
  const parts = ops.split(
    all,
    shards.map(({ positions }) => positions),
    0,
  );
  return new Map(shards.map(({ shard }, i) => [shard, parts[i]]));
}

/** Those of a stretch. @param first position of the shard at which it begins. */
export function rootsOfStretch(ops: Ops, roots: DeviceTensor, first: number, positions: number): DeviceTensor {
  return positions === roots.shape[0] ? roots : ops.slice(roots, [first, 0], [positions, 1]);
}

function requireSameShards(
  plan: Plan,
  files: readonly { readonly shards: ShardRange }[],
  summed: readonly ShardRange[],
): void {
  const counts = new Int32Array(plan.shards.length);
  const count = (ranges: readonly ShardRange[], by: number) => {
    for (const range of ranges) {
      shardsOf(plan, range);
      for (let shard = range.first; shard < range.end; shard++) counts[shard] += by;
    }
  };
  count(summed, 1);
  count(
    files.map(({ shards }) => shards),
    -1,
  );
  const at = counts.findIndex((times) => times !== 0);
  if (at >= 0)
    throw new EspalierError(
      'protocol',
      `token gradients: got those of shard ${at} ${counts[at] > 0 ? 'too seldom' : 'too often'}, expected each shard that is summed once`,
    );
}

/** One row of the tensor: those of the other sub-layers are left where they are. */
function readRow(
  path: string,
  { row, rows, length }: { readonly row: number; readonly rows: number; readonly length: number },
): Float32Array {
  const rowBytes = length * Float32Array.BYTES_PER_ELEMENT;
  try {
    const bytes = readTensorSync(path, 'token gradients', GRADIENTS_TENSOR, (entry) => {
      const got = entry === undefined ? 'nothing' : `${entry.dtype} [${entry.shape}]`;
      if (entry === undefined || got !== `F32 [${[rows, length]}]`)
        throw new EspalierError('protocol', `${GRADIENTS_TENSOR}: got ${got}, expected F32 [${rows},${length}]`);
      return { begin: entry.begin + row * rowBytes, bytes: rowBytes };
    });
    return viewAs('F32', bytes) as Float32Array;
  } catch (caught) {
    const error = toEspalierError(caught);
    throw error.code === 'model_format' ? new EspalierError('protocol', error.message, { cause: caught }) : error;
  }
}

function writeRoots(gradients: Float32Array, mean: number, roots: Float32Array): void {
  for (let at = 0; at < roots.length; at++) {
    const weight = Math.fround(0.5 + (0.5 * gradients[at]) / mean);
    if (!(gradients[at] >= 0 && weight < Number.POSITIVE_INFINITY))
      throw new EspalierError(
        'protocol',
        `${GRADIENTS_TENSOR} ${at}: got ${gradients[at]} and a mean of ${mean}, expected a number from 0 on with a finite weight`,
      );
    roots[at] = Math.sqrt(weight);
  }
}
