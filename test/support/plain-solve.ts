// The two damped solves of a sub-layer's scales in plain JavaScript, which the worker's are compared with. The unknown is x = s − 1, so that damping pulls scales towards 1; with
// M = AᵀA and r = Aᵀb − M·1 (the residual's right side at scales 1, the offset's row included), M x = r undamped.
import { meanSquaredResidual } from '../../pruning/scale-residual.ts';
import type { ScaleAlgebra } from '../../pruning/tuning.ts';
import { cholesky, innerProduct, multiplyVector, solveCholesky } from './plain-linear-algebra.ts';
import { addSystems, type ScaleSystem } from './plain-system.ts';

/** More steps than the condition number 2 of `solveReference`'s iteration ever needs (about 22 for float64). */
const MAX_STEPS = 60;

/** r = Aᵀb − M·1, [size]. */
export function residualRight(system: ScaleSystem): Float64Array {
  const { matrix, right, size } = system;
  const ones = new Float64Array(size).fill(1);
  return multiplyVector(matrix, size, ones).map((rowSum, i) => right[i] - rowSum);
}

/** Exact minimiser of |M x − r|² + |x|², the published system: (M² + I) x = M r.
 *
 * Formed as it stands, M² squares a condition number that reaches 10⁷ and the identity drowns in its rounding. With
 * B = (M + I)⁻¹ and the Cayley transform N = (M − I) B = I − 2B, which commute, M² + I = ½ (M + I)(I + N²)(M + I) and
 *   x = (I + N) (I + N²)⁻¹ B r.
 * B needs one Cholesky factor of M + I; the eigenvalues of I + N² lie in [1, 2], so conjugate gradients end in about
 * 20 steps of four triangular solves at rounding level.
 * @returns x [size]; null when M + I is not positive definite, which rounding alone cannot cause. */
export function solveReference(system: ScaleSystem): Float64Array | null {
  const { matrix, size } = system;
  const shifted = matrix.slice();
  for (let i = 0; i < size; i++) shifted[i * size + i] += 1;
  const factor = cholesky(shifted, size);
  if (factor === null) return null;
  const timesN = (v: Float64Array): Float64Array => solveCholesky(factor, size, v).map((b, i) => v[i] - 2 * b);
  const solved = conjugateGradients(
    (v) => {
      const squared = timesN(timesN(v));
      return squared.map((value, i) => value + v[i]);
    },
    solveCholesky(factor, size, residualRight(system)),
  );
  const n = timesN(solved);
  return solved.map((value, i) => value + n[i]);
}

/** Solves (M + λ m I) x = r with m the mean of the scales' diagonal; the offset is not damped. Two steps of iterative
 * refinement follow the Cholesky solve.
 * @returns x [size]; null when the damped matrix is not positive definite (all features 0). */
export function solveRidge(system: ScaleSystem, lambda: number): Float64Array | null {
  const { matrix, size, scales } = system;
  let trace = 0;
  for (let i = 0; i < scales; i++) trace += matrix[i * size + i];
  const damped = matrix.slice();
  for (let i = 0; i < scales; i++) damped[i * size + i] += (lambda * trace) / scales;
  const factor = cholesky(damped, size);
  if (factor === null) return null;
  const right = residualRight(system);
  let x = solveCholesky(factor, size, right);
  for (let step = 0; step < 2; step++) {
    const product = multiplyVector(damped, size, x);
    const correction = solveCholesky(
      factor,
      size,
      right.map((value, i) => value - product[i]),
    );
    x = x.map((value, i) => value + correction[i]);
  }
  return x;
}

/** Mean squared residual per output coordinate of the scales s. */
export function residualOf(system: ScaleSystem, scales: Float64Array): number {
  const s = new Float64Array(system.size);
  s.set(scales.subarray(0, system.scales));
  return meanSquaredResidual(system, s, multiplyVector(system.matrix, system.size, s));
}

export const plainAlgebra: ScaleAlgebra<ScaleSystem> = {
  residualAtOne: (system) => residualOf(system, new Float64Array(system.scales).fill(1)),
  solve(system, damping, judge) {
    const x = damping.kind === 'ridge' ? solveRidge(system, damping.lambda) : solveReference(system);
    if (x === null) return null;
    return {
      x,
      heldOut:
        judge &&
        residualOf(
          judge,
          x.map((value) => value + 1),
        ),
    };
  },
  add: addSystems,
};

/** Solves a symmetric positive definite, well conditioned system until the residual stops falling at rounding level. */
function conjugateGradients(apply: (v: Float64Array) => Float64Array, right: Float64Array): Float64Array {
  const x = new Float64Array(right.length);
  const residual = right.slice();
  const direction = right.slice();
  const target = innerProduct(right, right) * 1e-32;
  let squares = innerProduct(residual, residual);
  for (let step = 0; step < MAX_STEPS && squares > target; step++) {
    const image = apply(direction);
    const length = squares / innerProduct(direction, image);
    for (let i = 0; i < x.length; i++) {
      x[i] += length * direction[i];
      residual[i] -= length * image[i];
    }
    const next = innerProduct(residual, residual);
    for (let i = 0; i < x.length; i++) direction[i] = residual[i] + (next / squares) * direction[i];
    squares = next;
  }
  return x;
}
