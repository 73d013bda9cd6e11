// Correlations and mean squared error of regression, in float64.
import type { MetricValues } from './metrics.ts';

/** Metrics of numbers; with several outputs a sample, the mean over outputs.
 * @param targets [samples][outputs]. @param outputs [samples][outputs]. */
export function regressionMetrics(targets: readonly Float32Array[], outputs: readonly Float32Array[]): MetricValues {
  const width = targets[0]?.length ?? 0;
  const values = { pearson: 0, spearman: 0, mse: 0 };
  for (let output = 0; output < width; output++) {
    const golds = Float64Array.from(targets, (target) => target[output]);
    const predictions = Float64Array.from(outputs, (numbers) => numbers[output]);
    values.pearson += pearson(golds, predictions) / width;
    values.spearman += pearson(ranks(golds), ranks(predictions)) / width;
    values.mse += golds.reduce((sum, gold, i) => sum + (gold - predictions[i]) ** 2, 0) / golds.length / width;
  }
  return values;
}

/** Pearson's correlation. 0 where one side is constant: it is then undefined, and a model that answers the same to all
 * knows nothing of the order that it is asked for. */
export function pearson(a: Float64Array, b: Float64Array): number {
  const meanA = mean(a);
  const meanB = mean(b);
  let covariance = 0;
  let varianceA = 0;
  let varianceB = 0;
  for (let i = 0; i < a.length; i++) {
    covariance += (a[i] - meanA) * (b[i] - meanB);
    varianceA += (a[i] - meanA) ** 2;
    varianceB += (b[i] - meanB) ** 2;
  }
  if (isConstant(a) || isConstant(b)) return 0;
  return Math.max(-1, Math.min(1, covariance / Math.sqrt(varianceA * varianceB)));
}

// Rounding of the mean leaves a constant a tiny variance, so the variance cannot tell.
function isConstant(values: Float64Array): boolean {
  return values.every((value) => value === values[0]);
}

/** Ranks from 1; equal values share the mean of their ranks. */
export function ranks(values: Float64Array): Float64Array {
  const order = Array.from(values.keys()).sort((i, j) => values[i] - values[j]);
  const result = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to++;
    for (let i = from; i <= to; i++) result[order[i]] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return result;
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
