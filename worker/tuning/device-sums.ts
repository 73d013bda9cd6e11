// The normal equations of a sub-layer's scales as float64 tensors that stay on the device: made from float32 products,
// added, and folded over shards. Those of a refit are added and folded in the same way (refit-sums.ts).
import { foldCut, foldTree, type ShardSpan } from '../../pruning/fold-tree.ts';
import { EspalierError } from '../../shared/errors.ts';
import { firstColumns, firstRows } from '../engine/aligned-columns.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { Forward } from '../model/forward.ts';
import type { PanelForm, Projection, Rows, TableForm } from './output-projection.ts';

/** Sums over positions. Whoever has them releases them. */
export interface DeviceSums {
  /** In panels: AᵀA from the diagonal on, [count, k − first] for each panel of the projection's rows, and Aᵀb [k, 1]. As a
   * table: [AᵀA, Aᵀb] alone, [k₊, k₊ + 1]; with an offset its row and column are the last of AᵀA. */
  readonly matrices: readonly DeviceTensor[];
  /** ½|b|², []; null: what the targets are is in the matrices. */
  readonly halfSquares: DeviceTensor | null;
  readonly positions: number;
}

/** All tensors of sums, for their owner to keep or release. */
export function sumTensors({ matrices, halfSquares }: DeviceSums): DeviceTensor[] {
  return halfSquares === null ? [...matrices] : [...matrices, halfSquares];
}

/** ½|b|² of sums that have it, []. */
export function halfSquaresOf({ halfSquares }: DeviceSums): DeviceTensor {
  if (halfSquares === null)
    throw new EspalierError('internal', 'sums: got none of the squares of targets, expected some');
  return halfSquares;
}

/** The sums of some positions:
 *   (AᵀA)_ij = Σ over block (i, j) of (W·Wᵀ) ⊙ (XᵀX),   (Aᵀb)_i = Σ over block i of (XᵀR) ⊙ W,
 * float32 products that are rounded once and go on in float64. Nothing of the size positions · D · scales is formed.
 * @param x X float32 [positions, n], or more columns that do not count @param r R float32 [positions, D]
 * @param checkCancelled called between operations. */
export function sumPositions(
  { kernels, ops }: Forward,
  { x, r }: { readonly x: DeviceTensor; readonly r: DeviceTensor },
  { form }: Projection,
  checkCancelled: () => void = () => {},
): DeviceSums {
  return ops.engine.scope(() => {
    const matrices = form.kind === 'table' ? [tableOf(ops, x, r, form)] : panelsOf(ops, x, r, form, checkCancelled);
    checkCancelled();
    return { matrices, halfSquares: kernels.halfSquares(r), positions: x.shape[0] };
  });
}

// Sums over blocks are products with matrices of 0 and 1: fewer operations than to reshape and add, and as exact.
function tableOf(
  ops: Ops,
  x: DeviceTensor,
  r: DeviceTensor,
  { offsetFeatures, factors, addRows, addColumns }: TableForm,
): DeviceTensor {
  const all = offsetFeatures === 0 ? x : ops.concat([x, ops.ones([x.shape[0], offsetFeatures])], 1);
  const products = ops.toFloat64(ops.matMul(all, ops.concat([all, r], 1), true, false)); // [n₊, n₊ + D]
  return ops.matMul(ops.matMul(addRows, ops.mul(factors, products)), addColumns);
}

function panelsOf(
  ops: Ops,
  x: DeviceTensor,
  r: DeviceTensor,
  { rows, weight, products }: PanelForm,
  checkCancelled: () => void,
): DeviceTensor[] {
  const panels = gramPanels(ops, x, rows, checkCancelled).map((gram, i) => ops.mul(products[i], gram));
  checkCancelled();
  const right = firstRows(ops, ops.matMul(x, r, true, false), weight.shape[0]);
  const cross = ops.mul(ops.toFloat64(right), weight);
  return [...panels, ops.sum64(cross, [1], true)];
}

/** XᵀX from its diagonal on: float32 products, [count, n − first] for each panel of rows, as float64.
 * @param x X float32 [positions, n], or more columns that do not count @param rows of all n.
 * @param checkCancelled called between operations. */
export function gramPanels(
  ops: Ops,
  x: DeviceTensor,
  rows: readonly Rows[],
  checkCancelled: () => void = () => {},
): DeviceTensor[] {
  const [, columns] = x.shape;
  const last = rows.length - 1;
  const features = rows[last].first + rows[last].count;
  const parts = ops.split(
    x,
    rows.map(({ first, count }, i) => (i === last ? columns - first : count)),
    1,
  );
  return rows.map(({ first, count }, i) => {
    checkCancelled();
    const rest = i === 0 ? x : i === last ? parts[i] : ops.slice(x, [0, first], [-1, columns - first]);
    const products = ops.matMul(parts[i], rest, true, false);
    return ops.toFloat64(firstRows(ops, firstColumns(ops, products, features - first), count));
  });
}

/** a + b. */
export function addSums(ops: Ops, a: DeviceSums, b: DeviceSums): DeviceSums {
  return {
    matrices: a.matrices.map((matrix, i) => ops.add(matrix, b.matrices[i])),
    halfSquares: a.halfSquares && ops.add(a.halfSquares, halfSquaresOf(b)),
    positions: a.positions + b.positions,
  };
}

export function releaseSums(engine: Engine, sums: DeviceSums): void {
  for (const tensor of sumTensors(sums)) engine.dispose(tensor);
}

/** Sums over a node of the plan's tree, in its order; as many are there at once as the tree has levels. The caller
 * releases the result, also where a scope is open.
 * @param leaf of one shard; it may return tensors of the scope that it opened itself. */
export function foldShards(ops: Ops, { first, end }: ShardSpan, leaf: (shard: number) => DeviceSums): DeviceSums {
  return folding(ops, (hold, join) => foldTree(first, end, (shard) => hold(leaf(shard)), join));
}

/** Sums over nodes of the plan's tree, left to right and without gaps, folded in its order. The caller releases the result, also
 * where a scope is open.
 * @param sumsOf one node, as `leaf` of foldShards. */
export function foldNodes<Node extends ShardSpan>(
  ops: Ops,
  nodes: readonly Node[],
  sumsOf: (node: Node) => DeviceSums,
): DeviceSums {
  return folding(ops, (hold, join) =>
    foldCut(
      nodes,
      nodes.map((node) => hold(sumsOf(node))),
      join,
    ),
  );
}

/** What `fold` holds and has not joined is released when it throws. */
function folding(
  ops: Ops,
  fold: (hold: (sums: DeviceSums) => DeviceSums, join: (a: DeviceSums, b: DeviceSums) => DeviceSums) => DeviceSums,
): DeviceSums {
  const { engine } = ops;
  const held = new Set<DeviceSums>();
  const hold = (sums: DeviceSums) => {
    engine.keep(sumTensors(sums));
    held.add(sums);
    return sums;
  };
  const release = (sums: DeviceSums) => {
    held.delete(sums);
    releaseSums(engine, sums);
  };
  try {
    const whole = fold(hold, (a, b) => {
      const sum = hold(engine.scope(() => addSums(ops, a, b)));
      release(a);
      release(b);
      return sum;
    });
    held.delete(whole);
    return whole;
  } finally {
    for (const sums of held) releaseSums(engine, sums);
  }
}
