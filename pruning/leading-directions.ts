// A few directions in which the gradients of one sub-layer are long. Inner products are bounded by them: with p the
// coordinates along orthonormal directions and r the length of what is left, |a·b − p_a·p_b| <= r_a·r_b.
import { dot } from './fisher-block.ts';

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
 * @param gradients [variables, rows]. @param squares squared length of each column. */
export function leadingDirections(
  gradients: Float64Array,
  rows: number,
  squares: Float64Array,
  count: number,
): LeadingDirections {
  const variables = squares.length;
  const step = Math.max(1, Math.floor(variables / SAMPLES));
  // Sums of the sampled columns with signs, another pattern of them for each direction.
  let found = orthonormal(
    mixtures(gradients, rows, squares, step, count, (direction, sample) => ((sample >> direction) & 1) * 2 - 1),
  );
  for (let round = 1; round < ROUNDS; round++) {
    const before = found;
    const weight = (direction: number, _: number, at: number) => dot(gradients, at, before[direction], 0, rows);
    found = orthonormal(mixtures(gradients, rows, squares, step, before.length, weight));
  }
  found = found.filter((direction) => shareOf(direction, gradients, rows, squares, step) >= LEAST_SHARE);
  const coordinates = new Float64Array(variables * found.length);
  found.forEach((direction, k) => {
    for (let i = 0; i < variables; i++)
      coordinates[i * found.length + k] = dot(gradients, i * rows, direction, 0, rows);
  });
  return { count: found.length, coordinates };
}

/** Sums of the sampled columns, each column weighed and divided by its squared length. */
function mixtures(
  gradients: Float64Array,
  rows: number,
  squares: Float64Array,
  step: number,
  count: number,
  weight: (direction: number, sample: number, start: number) => number,
): Float64Array[] {
  return Array.from({ length: count }, (_, direction) => {
    const sum = new Float64Array(rows);
    for (let sample = 0; sample * step < squares.length; sample++) {
      const variable = sample * step;
      if (squares[variable] === 0) continue;
      const start = variable * rows;
      const factor = weight(direction, sample, start) / squares[variable];
      for (let row = 0; row < rows; row++) sum[row] += factor * gradients[start + row];
    }
    return sum;
  });
}

/** Mean over the sampled columns of the share of a column's square that lies along a direction. */
function shareOf(
  direction: Float64Array,
  gradients: Float64Array,
  rows: number,
  squares: Float64Array,
  step: number,
): number {
  let sum = 0;
  let samples = 0;
  for (let variable = 0; variable < squares.length; variable += step) {
    if (squares[variable] === 0) continue;
    sum += dot(gradients, variable * rows, direction, 0, rows) ** 2 / squares[variable];
    samples++;
  }
  return sum / samples;
}

/** Gram–Schmidt, twice for the rounding of the first time. What depends on the vectors before it is left out. */
function orthonormal(vectors: readonly Float64Array[]): Float64Array[] {
  const found: Float64Array[] = [];
  for (const vector of vectors) {
    const before = Math.sqrt(dot(vector, 0, vector, 0, vector.length));
    for (let time = 0; time < 2; time++)
      for (const other of found) {
        const share = dot(vector, 0, other, 0, vector.length);
        for (let row = 0; row < vector.length; row++) vector[row] -= share * other[row];
      }
    const length = Math.sqrt(dot(vector, 0, vector, 0, vector.length));
    if (!(length > LEAST_LENGTH * before)) continue;
    found.push(vector.map((value) => value / length));
  }
  return found;
}
