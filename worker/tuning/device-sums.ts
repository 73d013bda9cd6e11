// The normal equations of a sub-layer's scales as float64 tensors that stay on the device: made from float32 products,
// added, folded over shards, sent and received. AᵀA is kept as panels of its rows from the diagonal on.
import { foldTree } from '../../pruning/fold-tree.ts';
import type { ScaleSums } from '../../pruning/normal-equations.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';

/** Panels that AᵀA is cut into on a CPU and on a GPU: p of them compute (p + 1) / 2p of a symmetric product, and more make
 * smaller products of it. Smaller panels than the least are not worth it. Part of what makes results equal, like the plan. */
const PANELS = { cpu: 4, gpu: 2 };
const LEAST_ROWS = 96;

/** Neighbouring rows of a matrix. */
interface Rows {
  readonly first: number;
  readonly count: number;
}

/** The student's output projection with what every system of the sub-layer shares. Float64. */
export interface Projection {
  /** k */
  readonly scales: number;
  /** n: k · features of one scale. */
  readonly features: number;
  /** Consecutive features of one scale: head size, or 1 for neurons. */
  readonly blockSize: number;
  /** D */
  readonly hiddenSize: number;
  /** One free constant for every output coordinate is fitted as well. */
  readonly withOffset: boolean;
  /** Of W·Wᵀ, whose rows are cut in the same way as those of XᵀX. */
  readonly rows: readonly Rows[];
  /** W [n, D] */
  readonly weight: DeviceTensor;
  /** Rows of W·Wᵀ from the diagonal on, [count, n − first] each. */
  readonly products: readonly DeviceTensor[];
  /** Σ_d W[f, d], [n]; null without an offset. */
  readonly rowSums: DeviceTensor | null;
}

/** Sums over positions. Whoever has them releases them. */
export interface DeviceSums {
  /** AᵀA from the diagonal on: [count, k − first] for each panel of a projection's rows. */
  readonly panels: readonly DeviceTensor[];
  /** A column: Aᵀb [k], with the offset ΣR; |b|²; with the offset its column of AᵀA [k]. */
  readonly vector: DeviceTensor;
  readonly positions: number;
}

/** @param kernel W float32 [n, D]. @param checkCancelled called between operations; throws when nobody waits any more.
 * Tensors belong to the scope that is open. */
export function makeProjection(
  ops: Ops,
  kernel: DeviceTensor,
  { blockSize, withOffset }: Pick<Projection, 'blockSize' | 'withOffset'>,
  checkCancelled: () => void = () => {},
): Projection {
  const [features, hiddenSize] = kernel.shape;
  const rows = panelRows(features, blockSize, ops.engine.binding.isUsingGpuDevice() ? PANELS.gpu : PANELS.cpu);
  return ops.engine.scope(() => {
    const weight = ops.toFloat64(kernel);
    const products = rows.map(({ first, count }) => {
      checkCancelled();
      const left = rowsOf(ops, weight, first, count);
      return ops.matMul(left, rowsOf(ops, weight, first, features - first), false, true);
    });
    const rowSums = withOffset ? ops.sum64(weight, [1]) : null;
    return {
      scales: features / blockSize,
      features,
      blockSize,
      hiddenSize,
      withOffset,
      rows,
      weight,
      products,
      rowSums,
    };
  });
}

/** All tensors of a projection, for its owner to release. */
export function projectionTensors({ weight, products, rowSums }: Projection): DeviceTensor[] {
  return [weight, ...products, ...(rowSums === null ? [] : [rowSums])];
}

// The blocks of a head are summed as a whole.
function panelRows(features: number, blockSize: number, panels: number): Rows[] {
  const count = blockSize > 1 ? features : Math.max(LEAST_ROWS, Math.ceil(features / panels));
  const rows: Rows[] = [];
  for (let first = 0; first < features; first += count) rows.push({ first, count: Math.min(count, features - first) });
  return rows;
}

/** The sums of some positions:
 *   (AᵀA)_ij = Σ over block (i, j) of (W·Wᵀ) ⊙ (XᵀX),   (Aᵀb)_i = Σ over block i of (XᵀR) ⊙ W,
 * float32 products that are rounded once and go on in float64. Nothing of the size positions · D · scales is formed.
 * @param x X float32 [positions, n] @param r R float32 [positions, D]
 * @param checkCancelled called between operations. */
export function sumPositions(
  ops: Ops,
  { x, r }: { readonly x: DeviceTensor; readonly r: DeviceTensor },
  projection: Projection,
  checkCancelled: () => void = () => {},
): DeviceSums {
  const { features, blockSize, scales, hiddenSize, rows, weight, products, rowSums } = projection;
  return ops.engine.scope(() => {
    const [positions] = x.shape;
    const panels = rows.map(({ first, count }, i) => {
      checkCancelled();
      const left = columnsOf(ops, x, first, count);
      const gram = ops.toFloat64(ops.matMul(left, columnsOf(ops, x, first, features - first), true, false));
      const terms = ops.mul(products[i], gram);
      return blockSize === 1 ? terms : ops.sum64(ops.reshape(terms, [scales, blockSize, scales, blockSize]), [1, 3]);
    });
    checkCancelled();
    const cross = ops.mul(ops.toFloat64(ops.matMul(x, r, true, false)), weight);
    const wide = ops.toFloat64(r);
    const blocks = blockSize === 1 ? cross : ops.reshape(cross, [scales, blockSize * hiddenSize]);
    const right = ops.sum64(blocks, [1], true);
    const squares = ops.sum64(ops.mul(wide, wide), [0, 1], true);
    if (rowSums === null) return { panels, vector: ops.concat([right, squares], 0), positions };
    const total = ops.sum64(wide, [0, 1], true);
    const moved = ops.mul(ops.toFloat64(ops.sum(x, [0])), rowSums);
    const offset = ops.sum64(ops.reshape(moved, [scales, blockSize]), [1], true);
    return { panels, vector: ops.concat([right, total, squares, offset], 0), positions };
  });
}

/** a + b. */
export function addSums(ops: Ops, a: DeviceSums, b: DeviceSums): DeviceSums {
  return {
    panels: a.panels.map((panel, i) => ops.add(panel, b.panels[i])),
    vector: ops.add(a.vector, b.vector),
    positions: a.positions + b.positions,
  };
}

export function releaseSums(engine: Engine, { panels, vector }: DeviceSums): void {
  for (const tensor of [...panels, vector]) engine.dispose(tensor);
}

/** Sums over a node of the plan's tree, in its order; as many are there at once as the tree has levels. The caller
 * releases the result, also where a scope is open.
 * @param leaf of one shard; it may return tensors of the scope that it opened itself. */
export function foldShards(
  ops: Ops,
  { first, end }: { readonly first: number; readonly end: number },
  leaf: (shard: number) => DeviceSums,
): DeviceSums {
  const { engine } = ops;
  const held = new Set<DeviceSums>();
  const hold = (sums: DeviceSums) => {
    engine.keep([...sums.panels, sums.vector]);
    held.add(sums);
    return sums;
  };
  const release = (sums: DeviceSums) => {
    held.delete(sums);
    releaseSums(engine, sums);
  };
  try {
    const join = (a: DeviceSums, b: DeviceSums) => {
      const sum = hold(engine.scope(() => addSums(ops, a, b)));
      release(a);
      release(b);
      return sum;
    };
    const whole = foldTree(first, end, (shard) => hold(leaf(shard)), join);
    held.delete(whole);
    return whole;
  } finally {
    for (const sums of held) releaseSums(engine, sums);
  }
}

/** Brings sums to the host. */
export function downloadSums(ops: Ops, sums: DeviceSums, { scales, withOffset }: Projection): ScaleSums {
  const { engine } = ops;
  const [matrix, vector] = engine.scope(() => [
    engine.downloadFloat64(
      ops.concat(
        sums.panels.map((panel) => ops.reshape(panel, [-1])),
        0,
      ),
    ),
    engine.downloadFloat64(sums.vector),
  ]);
  const rights = scales + (withOffset ? 1 : 0);
  return {
    scales,
    matrix,
    right: vector.slice(0, scales),
    offset: vector.slice(rights + 1),
    targetSum: withOffset ? vector[scales] : 0,
    targetSquares: vector[rights],
    positions: sums.positions,
  };
}

/** Brings sums of this sub-layer to the device. Tensors belong to the scope that is open.
 * @throws EspalierError "shape_mismatch" for those of another. */
export function uploadSums(ops: Ops, sums: ScaleSums, { scales, blockSize, withOffset, rows }: Projection): DeviceSums {
  const { engine } = ops;
  const ofRows = rows.map(({ first, count }) => [count, scales - first]);
  const shapes = blockSize === 1 ? ofRows : [[scales, scales]];
  const length = shapes.reduce((sum, [count, width]) => sum + count * width, 0);
  const isSame =
    sums.scales === scales && sums.matrix.length === length && sums.offset.length === (withOffset ? scales : 0);
  if (!isSame)
    throw new EspalierError(
      'shape_mismatch',
      `sub-layer sums: got ${sums.scales} scales, ${sums.matrix.length} elements, expected ${scales}, ${length}`,
    );
  let at = 0;
  const panels = shapes.map(([count, width]) => {
    const part = sums.matrix.subarray(at, at + count * width);
    at += part.length;
    return engine.uploadFloat64(part, [count, width]);
  });
  const parts = [sums.right, withOffset ? [sums.targetSum] : [], [sums.targetSquares], sums.offset];
  const vector = Float64Array.from(parts.flatMap((part) => [...part]));
  return { panels, vector: engine.uploadFloat64(vector, [vector.length, 1]), positions: sums.positions };
}

function rowsOf(ops: Ops, matrix: DeviceTensor, first: number, count: number): DeviceTensor {
  return count === matrix.shape[0] ? matrix : ops.slice(matrix, [first, 0], [count, -1]);
}

function columnsOf(ops: Ops, matrix: DeviceTensor, first: number, count: number): DeviceTensor {
  return count === matrix.shape[1] ? matrix : ops.slice(matrix, [0, first], [-1, count]);
}
