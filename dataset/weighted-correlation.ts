// Correlations of pairs that count a whole number of times each, as if each stood in the data as often.

export interface WeightedPairs {
  /** [pairs]. */
  readonly golds: Float64Array;
  /** [pairs]. */
  readonly predictions: Float64Array;
}

type Measure = (weights: Int32Array) => number;

/** Pearson's correlation; 0 where one side is constant among the pairs that count, as in `pearson`. */
export function weightedPearson({ golds, predictions }: WeightedPairs): Measure {
  return (weights) => correlation(golds, predictions, weights);
}

/** Spearman's correlation: Pearson's of ranks, equal values sharing the mean of theirs. */
export function weightedSpearman({ golds, predictions }: WeightedPairs): Measure {
  const [goldOrder, predictionOrder] = [golds, predictions].map(ascending);
  return (weights) =>
    correlation(
      weightedRanks(golds, goldOrder, weights),
      weightedRanks(predictions, predictionOrder, weights),
      weights,
    );
}

function ascending(values: Float64Array): Int32Array {
  return Int32Array.from(values.keys()).sort((i, j) => values[i] - values[j]);
}

/** Ranks from 1, of the pairs as often as they count. @param order of the values, ascending. */
function weightedRanks(values: Float64Array, order: Int32Array, weights: Int32Array): Float64Array {
  const ranks = new Float64Array(values.length);
  let before = 0;
  for (let from = 0; from < order.length; ) {
    let to = from;
    let own = 0;
    for (; to < order.length && values[order[to]] === values[order[from]]; to++) own += weights[order[to]];
    for (let i = from; i < to; i++) ranks[order[i]] = before + (own + 1) / 2;
    before += own;
    from = to;
  }
  return ranks;
}

function correlation(a: Float64Array, b: Float64Array, weights: Int32Array): number {
  let count = 0;
  let meanA = 0;
  let meanB = 0;
  let first = -1;
  let varies = { a: false, b: false };
  for (let i = 0; i < a.length; i++) {
    if (weights[i] === 0) continue;
    if (first < 0) first = i;
    varies = { a: varies.a || a[i] !== a[first], b: varies.b || b[i] !== b[first] };
    count += weights[i];
    meanA += weights[i] * a[i];
    meanB += weights[i] * b[i];
  }
  // Rounding of the mean leaves a constant a tiny variance, so the variance cannot tell.
  if (!varies.a || !varies.b) return 0;
  meanA /= count;
  meanB /= count;
  let covariance = 0;
  let varianceA = 0;
  let varianceB = 0;
  for (let i = 0; i < a.length; i++) {
    covariance += weights[i] * (a[i] - meanA) * (b[i] - meanB);
    varianceA += weights[i] * (a[i] - meanA) ** 2;
    varianceB += weights[i] * (b[i] - meanB) ** 2;
  }
  return Math.max(-1, Math.min(1, covariance / Math.sqrt(varianceA * varianceB)));
}
