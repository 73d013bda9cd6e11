// The normal equations of a sub-layer's output projection on the device: made from float32 products of weighted rows, and
// brought to the host and back. They are added and folded as those of scales are.
import type { RefitSums } from '../../pruning/refit-equations.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { Forward } from '../model/forward.ts';
import { type DeviceSums, gramPanels, halfSquaresOf, panelSizes } from '../tuning/device-sums.ts';
import { panelRows, type Rows } from '../tuning/output-projection.ts';
import type { RefitTerms } from './refit-algebra.ts';

/** Sizes of a sub-layer's sums. Of its DeviceSums `matrices` are XᵀDX from the diagonal on, [count, n + 1 − first] for each
 * panel of rows, and XᵀDR [n + 1, D]; `halfSquares` is ½ Σ D·R². */
export interface RefitForm {
  /** n; may be 0. */
  readonly features: number;
  /** D */
  readonly hiddenSize: number;
  /** Of XᵀDX. */
  readonly rows: readonly Rows[];
}

export function refitForm(ops: Ops, features: number, hiddenSize: number): RefitForm {
  return { features, hiddenSize, rows: panelRows(ops, features + 1) };
}

/** The sums of weighted rows: float32 products that are rounded once and go on in float64.
 * @param x columns beyond those of the form do not count. @param checkCancelled called between operations. */
export function sumRows(
  { kernels, ops }: Forward,
  { x, r }: { readonly x: DeviceTensor; readonly r: DeviceTensor },
  { features, rows }: RefitForm,
  checkCancelled: () => void = () => {},
): DeviceSums {
  return ops.engine.scope(() => {
    const grams = gramPanels(ops, x, rows, checkCancelled);
    checkCancelled();
    const products = [...grams, ops.matMul(x, r, true, false)];
    const sizes = [...panelSizes(rows), [features + 1, r.shape[1]] as const];
    const matrices = kernels.systems.widen(products, sizes, null);
    return { matrices, halfSquares: kernels.halfSquares(r), positions: x.shape[0] };
  });
}

/** What sums say of the projection's system: tensors of theirs, and one of the scope that is open. */
export function refitTerms({ kernels: { systems } }: Forward, sums: DeviceSums): RefitTerms {
  const { matrices, positions } = sums;
  return {
    matrix: systems.wholeMatrix(matrices.slice(0, -1)),
    right: matrices[matrices.length - 1],
    halfSquares: halfSquaresOf(sums),
    positions,
  };
}

/** Brings sums to the host. */
export function downloadRefitSums(ops: Ops, sums: DeviceSums, { features, hiddenSize }: RefitForm): RefitSums {
  const parts = [...sums.matrices, halfSquaresOf(sums)].map((part) => ops.reshape(part, [-1]));
  const numbers = ops.engine.downloadFloat64(ops.concat(parts, 0));
  const rights = numbers.length - 1 - (features + 1) * hiddenSize;
  return {
    ...{ features, hiddenSize, gram: numbers.slice(0, rights), right: numbers.slice(rights, -1) },
    targetSquares: 2 * numbers[numbers.length - 1],
    positions: sums.positions,
  };
}

/** Brings sums of this sub-layer to the device. Tensors belong to the scope that is open.
 * @throws EspalierError "shape_mismatch" for those of another. */
export function uploadRefitSums(ops: Ops, sums: RefitSums, { features, hiddenSize, rows }: RefitForm): DeviceSums {
  const { engine } = ops;
  const size = features + 1;
  const length = panelsLength(rows, size);
  if (sums.features !== features || sums.hiddenSize !== hiddenSize || sums.gram.length !== length)
    throw new EspalierError(
      'shape_mismatch',
      `refit sums: got ${sums.features} features, ${sums.gram.length} elements, expected ${features}, ${length}`,
    );
  return {
    matrices: [...uploadPanels(ops, sums.gram, rows, size), engine.uploadFloat64(sums.right, [size, hiddenSize])],
    halfSquares: engine.uploadFloat64(Float64Array.of(sums.targetSquares / 2), []),
    positions: sums.positions,
  };
}

/** Elements of a symmetric matrix [size, size] in panels of rows from the diagonal on. */
export function panelsLength(rows: readonly Rows[], size: number): number {
  return rows.reduce((sum, { first, count }) => sum + count * (size - first), 0);
}

/** Panels of such a matrix, which lie one after the other. Tensors belong to the scope that is open. */
export function uploadPanels({ engine }: Ops, gram: Float64Array, rows: readonly Rows[], size: number): DeviceTensor[] {
  let at = 0;
  return rows.map(({ first, count }) => {
    const part = gram.subarray(at, at + count * (size - first));
    at += part.length;
    return engine.uploadFloat64(part, [count, size - first]);
  });
}
