// What a list of measured times says.

export interface Spread {
  readonly median: number;
  /** A tenth of the values lies below. */
  readonly p10: number;
  /** A tenth of the values lies above. */
  readonly p90: number;
}

/** Quantiles of at least one value, interpolated between neighbours. */
export function spreadOf(values: ArrayLike<number>): Spread {
  const sorted = Float64Array.from(values).sort();
  return { median: quantile(sorted, 0.5), p10: quantile(sorted, 0.1), p90: quantile(sorted, 0.9) };
}

function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/** How many values lie further from the median than five times the median of such distances: what else the machine did,
 * and not the model. */
export function outliers(values: ArrayLike<number>): number {
  const { median } = spreadOf(values);
  const distances = Float64Array.from(values).map((value) => Math.abs(value - median));
  const usual = spreadOf(distances).median;
  return distances.filter((distance) => distance > 5 * usual).length;
}
