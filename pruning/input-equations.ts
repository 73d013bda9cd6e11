// The normal equations of a sub-layer's input projections as sums over positions: what workers hand each other.
//
// A refit asks that [X, 1] W come close to Q, with X [positions, D] the student's input of the sub-layer and Q what the dense
// model's own projection of the kept rows makes of its input X̄. Q = [1, X̄] K is linear in X̄, so that all that is needed of
// positions is one Gram of Z = [X, 1, X̄], whatever is kept and however many projections there are:
//   [X, 1]ᵀΩ[X, 1],   [X, 1]ᵀΩQ = ([X, 1]ᵀΩ[1, X̄]) K   and   Σ Ω·Q² = tr Kᵀ([1, X̄]ᵀΩ[1, X̄]) K
// are blocks of ZᵀΩZ.
import { EspalierError } from '../shared/errors.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import { addTo, positionsFrom, sumsTensor, symmetricFrom } from './normal-equations.ts';

/** Sums over the positions that count; float64. */
export interface InputSums {
  /** D */
  readonly hiddenSize: number;
  /** ZᵀΩZ from its diagonal on, at least: the panels of rows that a worker makes, one after the other, cut in the same way by
   * all workers of a device class. Z has 2 D + 1 columns. */
  readonly gram: Float64Array;
  /** Positions that were summed. */
  readonly positions: number;
}

/** a + b, into the array of `a`, which is its no more. Floating point: fold in the order of fold-tree.ts.
 * @throws EspalierError "shape_mismatch" when the sizes differ. */
export function addInputSumsTo(a: InputSums, b: InputSums): InputSums {
  if (a.hiddenSize !== b.hiddenSize || a.gram.length !== b.gram.length)
    throw new EspalierError(
      'shape_mismatch',
      `input sums: got width ${b.hiddenSize}, ${b.gram.length} elements, expected ${a.hiddenSize}, ${a.gram.length}`,
    );
  return { ...a, gram: addTo(a.gram, b.gram), positions: a.positions + b.positions };
}

/** The result tensors of a refit-equations task of inputs (worker.proto). The data is shared, not copied. */
export function inputSumsToTensors({ gram, positions }: InputSums): NamedTensor[] {
  return [sumsTensor('gram', gram), sumsTensor('positions', Float64Array.of(positions))];
}

/** The inverse of `inputSumsToTensors`. @param hiddenSize D, of the model.
 * @throws EspalierError "protocol" for a tensor that is missing or of another type or size, and for positions that are no
 * count; "not_finite" for a number that is not finite. */
export function inputSumsFromTensors(tensors: ReadonlyMap<string, NamedTensor>, hiddenSize: number): InputSums {
  const gram = symmetricFrom(tensors, 'gram', inputColumns(hiddenSize));
  return { hiddenSize, gram, positions: positionsFrom(tensors) };
}

/** Columns of Z. */
export function inputColumns(hiddenSize: number): number {
  return 2 * hiddenSize + 1;
}
