/** Mean and sample standard deviation. */
export function summary(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** Mean ± deviation. */
export function spread(values: readonly number[], show = (value: number) => value.toFixed(2)): string {
  const { mean, deviation } = summary(values);
  return `${show(mean)} ± ${deviation.toFixed(2)}`;
}

/** A difference, with its sign. */
export function signed(value: number): string {
  return `${value >= 0 ? '+' : ''}${value.toFixed(2)}`;
}
