// The normal equations of one sub-layer's output projection, (XᵀDX) W = XᵀDR, as sums over positions: what workers hand each
// other.
//
// X [positions, n + 1] are the student's features (contexts of the kept heads, or activations of the kept neurons) with a last
// column of ones, R [positions, D] is the dense model's sub-layer output less the student's input of the sub-layer, D the
// positions' weights. Where a sub-layer keeps nothing the ones alone are left, whose row of W is the bias.
import { EspalierError } from '../shared/errors.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import { addTo, positionsFrom, sumsTensor, symmetricFrom, wholeVector } from './normal-equations.ts';

/** Sums over unpadded positions; all float64. */
export interface RefitSums {
  /** n; may be 0. */
  readonly features: number;
  /** D */
  readonly hiddenSize: number;
  /** XᵀDX from its diagonal on, at least: the panels of rows that a worker makes, one after the other. All workers of one
   * device class cut it in the same way, in (n + 1) (n + 2) / 2 to (n + 1)² elements. */
  readonly gram: Float64Array;
  /** XᵀDR, [n + 1, D] */
  readonly right: Float64Array;
  /** Sum of D·R². */
  readonly targetSquares: number;
  /** Positions that were summed. */
  readonly positions: number;
}

/** a + b, element by element, into the arrays of `a`, which are its no more. Floating point: fold in the order of
 * fold-tree.ts. @throws EspalierError "shape_mismatch" when the sizes differ. */
export function addRefitSumsTo(a: RefitSums, b: RefitSums): RefitSums {
  if (a.features !== b.features || a.hiddenSize !== b.hiddenSize || a.gram.length !== b.gram.length)
    throw new EspalierError('shape_mismatch', `refit sums: got those of ${sizes(b)}, expected ${sizes(a)}`);
  return {
    ...{ features: a.features, hiddenSize: a.hiddenSize },
    gram: addTo(a.gram, b.gram),
    right: addTo(a.right, b.right),
    targetSquares: a.targetSquares + b.targetSquares,
    positions: a.positions + b.positions,
  };
}

/** The result tensors of a refit-equations task (worker.proto). The data is shared, not copied. */
export function refitSumsToTensors(sums: RefitSums): NamedTensor[] {
  return [
    sumsTensor('gram', sums.gram),
    sumsTensor('right', sums.right),
    sumsTensor('target_squares', Float64Array.of(sums.targetSquares)),
    sumsTensor('positions', Float64Array.of(sums.positions)),
  ];
}

/** The inverse of `refitSumsToTensors`. @param hiddenSize D, of the model.
 * @throws EspalierError "protocol" for a tensor that is missing or of another type or size, and for positions that are no
 * count; "not_finite" for a number that is not finite. */
export function refitSumsFromTensors(tensors: ReadonlyMap<string, NamedTensor>, hiddenSize: number): RefitSums {
  const isRows = (length: number) => length >= hiddenSize && length % hiddenSize === 0;
  const right = wholeVector(tensors, 'right', isRows, `(features + 1) * ${hiddenSize}`);
  const size = right.length / hiddenSize;
  const [targetSquares] = wholeVector(tensors, 'target_squares', (length) => length === 1, '1');
  return {
    ...{ features: size - 1, hiddenSize, right, targetSquares },
    gram: symmetricFrom(tensors, 'gram', size),
    positions: positionsFrom(tensors),
  };
}

function sizes({ features, hiddenSize, gram }: RefitSums): string {
  return `${features} features, width ${hiddenSize}, ${gram.length} elements`;
}
