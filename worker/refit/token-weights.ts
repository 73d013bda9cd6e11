// How much each position counts in a refit: w = ½ + ½·g / mean, with g the squared gradient of the sub-layer's output there.
// Positions that the loss depends on more are fitted better, and none is left out.
import type { Plan } from '../../dataset/plan.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { readTensorSync } from '../../shared/safetensors.ts';
import { viewAs } from '../../shared/tensor.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
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

/** What positions of one sub-layer are weighted by. */
export interface TokenWeights {
  readonly mean: number;
  /** By the number of the shard, positions in the order of its micro-batches. */
  readonly gradients: ReadonlyMap<number, Float32Array>;
}

/** Reads the gradients of one sub-layer, blocking: from files that just came, in less time than it takes to ask for them otherwise.
 * @param summed ranges of shards that are summed. @param step of the sub-layer, of `steps`.
 * @throws EspalierError "protocol" unless the files hold the gradients of exactly these shards, and for a mean that is out of range. */
export function readTokenWeights(
  { files, mean }: TokenWeightsInput,
  { plan, summed, step, steps }: { plan: Plan; summed: readonly ShardRange[]; step: number; steps: number },
): TokenWeights {
  if (!(mean > 0 && mean < Number.POSITIVE_INFINITY))
    throw new EspalierError('protocol', `mean of token gradients: got ${mean}, expected a positive number`);
  requireSameShards(plan, files, summed);
  const gradients = new Map<number, Float32Array>();
  for (const { shards, path } of files) {
    const lengths = shardsOf(plan, shards).map(({ batches }) =>
      batches.reduce((sum, batch) => sum + positionsOf(plan, batch), 0),
    );
    const positions = lengths.reduce((sum, length) => sum + length, 0);
    const row = readRow(path, { row: step, rows: steps, length: positions });
    let at = 0;
    lengths.forEach((length, i) => {
      gradients.set(shards.first + i, row.subarray(at, at + length));
      at += length;
    });
  }
  return { mean, gradients };
}

/** Square roots of a shard's weights on the device, float32 [positions, 1]. It belongs to the scope that is open.
 * @throws EspalierError "protocol" for a gradient that is below 0 or not finite, and for a weight that is not. */
export function uploadRoots(engine: Engine, { gradients, mean }: TokenWeights, shard: number): DeviceTensor {
  const own = gradients.get(shard);
  if (own === undefined) throw new EspalierError('internal', `shard ${shard}: got no weights of its positions`);
  return engine.upload(rootsOf(own, mean), [own.length, 1]);
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

function rootsOf(gradients: Float32Array, mean: number): Float32Array {
  const roots = new Float32Array(gradients.length);
  for (let at = 0; at < roots.length; at++) {
    const weight = Math.fround(0.5 + (0.5 * gradients[at]) / mean);
    if (!(gradients[at] >= 0 && weight < Number.POSITIVE_INFINITY))
      throw new EspalierError(
        'protocol',
        `${GRADIENTS_TENSOR} ${at}: got ${gradients[at]} and a mean of ${mean}, expected a number from 0 on with a finite weight`,
      );
    roots[at] = Math.sqrt(weight);
  }
  return roots;
}
