// The refit of an output projection by its definition, in float64 and without normal equations: what sums and solves are
// compared with. Matrices are row-major.

/** A weighted ridge problem with every number known. */
export interface RefitCase {
  readonly features: number;
  readonly hiddenSize: number;
  /** Student's features, [positions, features], without the column of ones. */
  readonly x: ArrayLike<number>;
  /** [positions, hiddenSize] */
  readonly r: ArrayLike<number>;
  /** Weights of positions, [positions]. */
  readonly weights: ArrayLike<number>;
  /** Projection of the student, [features + 1, hiddenSize], the bias last. */
  readonly current: ArrayLike<number>;
}

/** argmin over W of Σ w_t |[x_t, 1] W − r_t|² + λ m |W − W₀|², the last row not damped, m the mean over the features of
 * Σ w_t x_t²: least squares of stacked rows by Householder reflections (Golub and Van Loan, Matrix Computations, section 5.3).
 * @returns W [features + 1, hiddenSize]. */
export function directRefit(problem: RefitCase, lambda: number): Float64Array {
  const { features, hiddenSize, x, r, weights, current } = problem;
  const positions = weights.length;
  let trace = 0;
  for (let t = 0; t < positions; t++) for (let f = 0; f < features; f++) trace += weights[t] * x[t * features + f] ** 2;
  const pull = features === 0 ? 0 : Math.sqrt((lambda * trace) / features);
  const rows: number[][] = [];
  for (let t = 0; t < positions; t++) {
    const root = Math.sqrt(weights[t]);
    const left = Array.from({ length: features }, (_, f) => root * x[t * features + f]);
    rows.push([...left, root, ...Array.from({ length: hiddenSize }, (_, d) => root * r[t * hiddenSize + d])]);
  }
  for (let f = 0; f < features; f++) {
    const left = Array.from({ length: features + 1 }, (_, i) => (i === f ? pull : 0));
    rows.push([...left, ...Array.from({ length: hiddenSize }, (_, d) => pull * current[f * hiddenSize + d])]);
  }
  reflect(rows, features + 1);
  const solution = new Float64Array((features + 1) * hiddenSize);
  for (let d = 0; d < hiddenSize; d++)
    for (let i = features; i >= 0; i--) {
      let value = rows[i][features + 1 + d];
      for (let j = i + 1; j <= features; j++) value -= rows[i][j] * solution[j * hiddenSize + d];
      solution[i * hiddenSize + d] = value / rows[i][i];
    }
  return solution;
}

/** Brings the first columns to upper triangular form, in place. */
function reflect(rows: number[][], columns: number): void {
  for (let c = 0; c < columns; c++) {
    const column = rows.slice(c).map((row) => row[c]);
    const length = Math.hypot(...column);
    if (length === 0) continue;
    const v = column.slice();
    v[0] += Math.sign(column[0] || 1) * length;
    const squares = v.reduce((sum, value) => sum + value * value, 0);
    for (let k = c; k < rows[c].length; k++) {
      let product = 0;
      v.forEach((value, i) => {
        product += value * rows[c + i][k];
      });
      v.forEach((value, i) => {
        rows[c + i][k] -= (2 * product * value) / squares;
      });
    }
  }
}

/** Mean weighted squared error per coordinate, from the activations themselves.
 * @param projection W [features + 1, hiddenSize] */
export function directError(problem: Omit<RefitCase, 'current'>, projection: ArrayLike<number>): number {
  const { features, hiddenSize, x, r, weights } = problem;
  let sum = 0;
  for (let t = 0; t < weights.length; t++)
    for (let d = 0; d < hiddenSize; d++) {
      let got = projection[features * hiddenSize + d];
      for (let f = 0; f < features; f++) got += x[t * features + f] * projection[f * hiddenSize + d];
      sum += weights[t] * (got - r[t * hiddenSize + d]) ** 2;
    }
  return sum / (weights.length * hiddenSize);
}

/** The positions of several problems of one projection. */
export function joinCases(cases: readonly RefitCase[]): RefitCase {
  const join = (part: (problem: RefitCase) => ArrayLike<number>) =>
    Float64Array.from(cases.flatMap((problem) => Array.from(part(problem))));
  return { ...cases[0], x: join(({ x }) => x), r: join(({ r }) => r), weights: join(({ weights }) => weights) };
}
