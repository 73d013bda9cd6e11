// The normal equations of a sub-layer's scales as float64 tensors that stay on the device: made from float32 products,
// added, and folded over shards. Those of a refit are added and folded in the same way (refit-sums.ts).
import { foldCut, foldTree, type ShardSpan } from '../../pruning/fold-tree.ts';
import { EspalierError } from '../../shared/errors.ts';
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
  forward: Forward,
  { x, r }: { readonly x: DeviceTensor; readonly r: DeviceTensor },
  { form }: Projection,
  checkCancelled: () => void = () => {},
): DeviceSums {
  return forward.ops.engine.scope(() => {
    const matrices =
      form.kind === 'table' ? [tableOf(forward, x, r, form)] : panelsOf(forward, x, r, form, checkCancelled);
    checkCancelled();
    return { matrices, halfSquares: forward.kernels.halfSquares(r), positions: x.shape[0] };
  });
}

// Sums over blocks are products with matrices of 0 and 1: fewer operations than to reshape and add, and as exact.
function tableOf(
  { kernels: { systems }, ops }: Forward,
  x: DeviceTensor,
  r: DeviceTensor,
  { offsetFeatures, factors, addRows, addColumns }: TableForm,
): DeviceTensor {
  const all = offsetFeatures === 0 ? x : ops.concat([x, ops.ones([x.shape[0], offsetFeatures])], 1);
  const products = ops.matMul(all, ops.concat([all, r], 1), true, false); // [n₊, n₊ + D]
  const [rows, columns] = products.shape;
  const [cross] = systems.widen([products], [[rows, columns]], [factors]);
  return ops.matMul(ops.matMul(addRows, cross), addColumns);
}

function panelsOf(
  { kernels: { systems }, ops }: Forward,
  x: DeviceTensor,
  r: DeviceTensor,
  { rows, weight, products }: PanelForm,
  checkCancelled: () => void,
): DeviceTensor[] {
  const grams = gramPanels(ops, x, rows, checkCancelled);
  checkCancelled();
  const right = ops.matMul(x, r, true, false);
  const [features, hiddenSize] = weight.shape;
  const sizes = [...panelSizes(rows), [features, hiddenSize] as const];
  const wide = systems.widen([...grams, right], sizes, [...products, weight]);
  return [...wide.slice(0, -1), ops.sum64(wide[grams.length], [1], true)];
}

/** Sizes of the panels of a symmetric matrix. */
export function panelSizes(rows: readonly Rows[]): (readonly [rows: number, columns: number])[] {
  const { first: last, count: lastCount } = rows[rows.length - 1];
  return rows.map(({ first, count }) => [count, last + lastCount - first]);
}

/** XᵀX from its diagonal on: float32 products, of which [count, n − first] for each panel of rows count.
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
  const parts = ops.split(
    x,
    rows.map(({ first, count }, i) => (i === last ? columns - first : count)),
    1,
  );
  return rows.map(({ first }, i) => {
    checkCancelled();
    const rest = i === 0 ? x : i === last ? parts[i] : ops.slice(x, [0, first], [-1, columns - first]);
    return ops.matMul(parts[i], rest, true, false);
  });
}

/** a + b. */
export function addSums({ kernels: { systems } }: Forward, a: DeviceSums, b: DeviceSums): DeviceSums {
  const sums = systems.addParts(sumTensors(a), sumTensors(b));
  const count = a.matrices.length;
  const positions = a.positions + b.positions;
  return { matrices: sums.slice(0, count), halfSquares: a.halfSquares && sums[count], positions };
}

export function releaseSums(engine: Engine, sums: DeviceSums): void {
  for (const tensor of sumTensors(sums)) engine.dispose(tensor);
}

/** Sums over a node of the plan's tree, in its order; as many are there at once as the tree has levels. The caller
 * releases the result, also where a scope is open.
 * @param leaf of one shard; it may return tensors of the scope that it opened itself. */
export function foldShards(
  forward: Forward,
  { first, end }: ShardSpan,
  leaf: (shard: number) => DeviceSums,
): DeviceSums {
  return folding(forward, (hold, join) => foldTree(first, end, (shard) => hold(leaf(shard)), join));
}

/** Sums over nodes of the plan's tree, left to right and without gaps, folded in its order. The caller releases the result, also
 * where a scope is open.
 * @param sumsOf one node, as `leaf` of foldShards. */
export function foldNodes<Node extends ShardSpan>(
  forward: Forward,
  nodes: readonly Node[],
  sumsOf: (node: Node) => DeviceSums,
): DeviceSums {
  return folding(forward, (hold, join) =>
    foldCut(
      nodes,
      nodes.map((node) => hold(sumsOf(node))),
      join,
    ),
  );
}

/** What `fold` holds and has not joined is released when it throws. */
function folding(
  forward: Forward,
  fold: (hold: (sums: DeviceSums) => DeviceSums, join: (a: DeviceSums, b: DeviceSums) => DeviceSums) => DeviceSums,
): DeviceSums {
  const { engine } = forward.ops;
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
      const sum = hold(engine.scope(() => addSums(forward, a, b)));
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
