// Small least squares problems of a sub-layer with every number known.

import type { RandomStream } from '../../pruning/random.ts';
import type { SubLayerSums } from './plain-system.ts';

export interface LeastSquaresProblem {
  readonly features: number;
  readonly hiddenSize: number;
  readonly positions: number;
  /** [positions, features] */
  readonly x: Float64Array;
  /** [positions, hiddenSize] */
  readonly r: Float64Array;
  /** [features, hiddenSize] */
  readonly weight: Float64Array;
}

/** Numbers in [-1, 1). */
export function makeProblem(
  random: RandomStream,
  features: number,
  hiddenSize: number,
  positions: number,
): LeastSquaresProblem {
  const draw = (length: number) => new Float64Array(length).map(() => random.uniform() * 2 - 1);
  return {
    features,
    hiddenSize,
    positions,
    x: draw(positions * features),
    r: draw(positions * hiddenSize),
    weight: draw(features * hiddenSize),
  };
}

/** The sums by their definition. @param x [positions, features] @param r [positions, hiddenSize] */
export function sumsOf(x: Float64Array, r: Float64Array, features: number, hiddenSize: number): SubLayerSums {
  const positions = r.length / hiddenSize;
  const total = (term: (position: number) => number) => {
    let sum = 0;
    for (let position = 0; position < positions; position++) sum += term(position);
    return sum;
  };
  const gram: number[] = [];
  const cross: number[] = [];
  for (let i = 0; i < features; i++) {
    for (let j = i; j < features; j++) gram.push(total((t) => x[t * features + i] * x[t * features + j]));
    for (let d = 0; d < hiddenSize; d++) cross.push(total((t) => x[t * features + i] * r[t * hiddenSize + d]));
  }
  return {
    features,
    hiddenSize,
    gram: Float64Array.from(gram),
    cross: Float64Array.from(cross),
    featureSums: Float64Array.from({ length: features }, (_, i) => total((t) => x[t * features + i])),
    targetSum: r.reduce((sum, value) => sum + value, 0),
    targetSquares: r.reduce((sum, value) => sum + value * value, 0),
    positions,
  };
}

/** R that the scales (one a feature) and an offset explain exactly: X·diag(s)·W + offset. */
export function exactTarget(
  problem: LeastSquaresProblem,
  scaleOf: (feature: number) => number,
  offset: number,
): Float64Array {
  const { features, hiddenSize, x, weight } = problem;
  return problem.r.map((_, at) => {
    let sum = offset;
    for (let f = 0; f < features; f++)
      sum += scaleOf(f) * x[Math.floor(at / hiddenSize) * features + f] * weight[f * hiddenSize + (at % hiddenSize)];
    return sum;
  });
}
