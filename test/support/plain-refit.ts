// The sums of a refit and its algebra in plain JavaScript, which the worker's are compared with.
import type { RefitAlgebra, RefitJudge, RefitSystem } from '../../pruning/refit.ts';
import { addRefitSumsTo, type RefitSums } from '../../pruning/refit-equations.ts';
import type { RefitCase } from './direct-refit.ts';
import { cholesky, solveCholesky } from './plain-linear-algebra.ts';

/** The sums by their definition: a whole matrix for the Gram. */
export function refitSumsOf({ features, hiddenSize, x, r, weights }: RefitCase): RefitSums {
  const size = features + 1;
  const gram = new Float64Array(size * size);
  const right = new Float64Array(size * hiddenSize);
  let targetSquares = 0;
  for (let t = 0; t < weights.length; t++) {
    const at = (f: number) => (f === features ? 1 : x[t * features + f]);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) gram[i * size + j] += weights[t] * at(i) * at(j);
      for (let d = 0; d < hiddenSize; d++) right[i * hiddenSize + d] += weights[t] * at(i) * r[t * hiddenSize + d];
    }
    for (let d = 0; d < hiddenSize; d++) targetSquares += weights[t] * r[t * hiddenSize + d] ** 2;
  }
  return { features, hiddenSize, gram, right, targetSquares, positions: weights.length };
}

/** A system with the student's projection, [features + 1, hiddenSize]. */
export interface PlainRefit extends RefitSystem {
  readonly sums: RefitSums;
  readonly current: Float64Array;
}

export interface PlainJudge extends PlainRefit, RefitJudge {}

export function plainRefit(problem: RefitCase): PlainJudge {
  const system = { sums: refitSumsOf(problem), current: Float64Array.from(problem.current) };
  return { ...system, positions: problem.weights.length, unchanged: errorOfSums(system, system.current) };
}

/** Mean weighted squared error per coordinate from sums: (tr WᵀG W − 2 tr WᵀB + c) / (positions · D). */
export function errorOfSums({ sums }: Pick<PlainRefit, 'sums'>, projection: ArrayLike<number>): number {
  const { features, hiddenSize, gram, right, targetSquares, positions } = sums;
  const size = features + 1;
  let error = targetSquares;
  for (let d = 0; d < hiddenSize; d++)
    for (let i = 0; i < size; i++) {
      let product = 0;
      for (let j = 0; j < size; j++) product += gram[i * size + j] * projection[j * hiddenSize + d];
      error += projection[i * hiddenSize + d] * (product - 2 * right[i * hiddenSize + d]);
    }
  return error / (positions * hiddenSize);
}

export const plainRefitAlgebra: RefitAlgebra<PlainRefit, PlainJudge, Float64Array> = {
  solve(system, lambda, judge) {
    const projection = solvePlainRefit(system, lambda);
    return projection && { projection, heldOut: judge && errorOfSums(judge, projection) };
  },
  add(a, b) {
    const { sums, current } = a;
    const copy = { ...sums, gram: sums.gram.slice(), right: sums.right.slice() };
    return { sums: addRefitSumsTo(copy, b.sums), current, positions: a.positions + b.positions };
  },
};

function solvePlainRefit({ sums, current }: PlainRefit, lambda: number): Float64Array | null {
  const { features, hiddenSize, gram, right } = sums;
  const size = features + 1;
  let trace = 0;
  for (let f = 0; f < features; f++) trace += gram[f * (size + 1)];
  const pull = features === 0 ? 0 : (lambda * trace) / features;
  const damped = gram.slice();
  for (let f = 0; f < features; f++) damped[f * (size + 1)] += pull;
  const factor = cholesky(damped, size);
  if (factor === null) return null;
  const projection = new Float64Array(size * hiddenSize);
  for (let d = 0; d < hiddenSize; d++) {
    const own = Float64Array.from({ length: size }, (_, i) => {
      const at = i * hiddenSize + d;
      return right[at] + (i < features ? pull * current[at] : 0);
    });
    solveCholesky(factor, size, own).forEach((value, i) => {
      projection[i * hiddenSize + d] = value;
    });
  }
  return projection;
}
