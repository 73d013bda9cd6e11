// A few directions in which the gradients of one sub-layer are long. Inner products are bounded by them: with p the
// coordinates along orthonormal directions and r the length of what is left, |a·b − p_a·p_b| <= r_a·r_b.
import type { InnerProducts } from './inner-products.ts';

export interface LeadingDirections {
  readonly count: number;
  /** Coordinates, [variables, count]. */
  readonly coordinates: Float64Array;
}

/** Variables that the directions are found from. */
const SAMPLES = 64;
const ROUNDS = 2;
/** A direction that takes less than this share of the columns' squares does not repay its use. */
const LEAST_SHARE = 0.02;
/** Of a vector's length: what is left of it beside the others is rounding. */
const LEAST_LENGTH = 1e-8;

/** Directions near the leading singular vectors of the columns, each column scaled to length 1 since each has its own
 * bound. Subspace iteration on a sample of the columns. Which directions come out changes how tight bounds are, not what
 * they hold for.
 * @param columns whose vector is overwritten. @param squares squared length of each column. */
export function leadingDirections(columns: InnerProducts, squares: Float64Array, count: number): LeadingDirections {
  const variables = squares.length;
  const step = Math.max(1, Math.floor(variables / SAMPLES));
  const samples = Int32Array.from({ length: Math.ceil(variables / step) }, (_, i) => i * step).filter(
    (i) => squares[i] !== 0,
  );
  // Sums of the sampled columns with signs, another pattern of them for each direction.
  const signs = Array.from({ length: count }, (_, direction) =>
    Float64Array.from(samples, (_, sample) => signOf(direction + 1, sample)),
  );
  let found = orthonormal(mixtures(columns, squares, samples, signs));
  for (let round = 1; round < ROUNDS; round++) {
    const weights = found.map((direction) => along(columns, direction, samples).slice(0, samples.length));
    found = orthonormal(mixtures(columns, squares, samples, weights));
  }
  // Mean over the samples of the share of a column's square that lies along a direction.
  found = found.filter((direction) => {
    const products = along(columns, direction, samples);
    const shares = samples.reduce((sum, i, sample) => sum + products[sample] ** 2 / squares[i], 0);
    return shares / samples.length >= LEAST_SHARE;
  });
  const coordinates = new Float64Array(variables * found.length);
  const all = Int32Array.from({ length: variables }, (_, i) => i);
  for (const [k, direction] of found.entries()) {
    const products = along(columns, direction, all);
    for (let i = 0; i < variables; i++) coordinates[i * found.length + k] = products[i];
  }
  return { count: found.length, coordinates };
}

/** Walsh's functions: of any two patterns, half of the signs differ. */
function signOf(pattern: number, sample: number): number {
  let sign = 1;
  for (let both = pattern & sample; both !== 0; both &= both - 1) sign = -sign;
  return sign;
}

function along(columns: InnerProducts, direction: Float64Array, list: Int32Array): Float64Array {
  columns.vector.set(direction);
  return columns.ofEach(list, list.length);
}

/** Sums of the sampled columns, each column weighed and divided by its squared length. @param weights [sums][samples]. */
function mixtures(
  { columns, vector }: InnerProducts,
  squares: Float64Array,
  samples: Int32Array,
  weights: readonly Float64Array[],
): Float64Array[] {
  const rows = vector.length;
  return weights.map((weight) => {
    const sum = new Float64Array(rows);
    for (const [sample, variable] of samples.entries()) {
      const start = variable * rows;
      const factor = weight[sample] / squares[variable];
      for (let row = 0; row < rows; row++) sum[row] += factor * columns[start + row];
    }
    return sum;
  });
}

/** Gram–Schmidt, twice for the rounding of the first time. What depends on the vectors before it is left out. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const found: Float64Array[] = [];
  for (const vector of vectors) {
    const before = Math.sqrt(dot(vector, vector));
    for (let time = 0; time < 2; time++)
      for (const other of found) {
        const share = dot(vector, other);
        for (let row = 0; row < vector.length; row++) vector[row] -= share * other[row];
      }
    const length = Math.sqrt(dot(vector, vector));
    if (!(length > LEAST_LENGTH * before)) continue;
    found.push(vector.map((value) => value / length));
  }
  return found;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let row = 0; row < a.length; row++) sum += a[row] * b[row];
  return sum;
}
