// Solves the damped systems of a sub-layer's scales in float64 on the device: a solution and what judges it come back in one
// transfer, matrices never do.
import { meanSquaredResidual } from '../../pruning/scale-residual.ts';
import type { ScaleAlgebra } from '../../pruning/tuning.ts';
import { cholesky } from '../engine/cholesky.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { Forward } from '../model/forward.ts';
import type { DeviceSystem } from './device-system.ts';

export interface DeviceAlgebraOptions {
  /** Called between operations; throws when nobody waits for the solve any more. */
  readonly checkCancelled?: () => void;
  /** The reference system is solved with an explicit inverse, where nothing is said on a GPU: there a few large products are
   * faster than many triangular solves, which go through a matrix row after row. */
  readonly invert?: boolean;
}

/** Steps of Chebyshev's iteration after which an error is 0.17²² of what it was: rounding. */
const REFERENCE_STEPS = 22;

export function deviceAlgebra(forward: Forward, options: DeviceAlgebraOptions = {}): ScaleAlgebra<DeviceSystem> {
  const { kernels, ops } = forward;
  const { engine } = ops;
  const { checkCancelled = () => {}, invert = engine.binding.isUsingGpuDevice() } = options;
  return {
    residualAtOne(system) {
      return meanSquaredResidual(system, new Float64Array(system.scales).fill(1), system.atOne);
    },

    solve(system, damping, judge) {
      const { size } = system;
      const found = engine.scope(() => {
        const solution =
          damping.kind === 'ridge'
            ? solveRidge(forward, system, damping.lambda, checkCancelled)
            : solveReference(forward, system, { checkCancelled, invert });
        if (solution === null) return null;
        const { x, factor } = solution;
        return kernels.systems.download([factor], judge === null ? [x] : [x, ops.matMul(judge.matrix, x)]);
      });
      // Where there is no factor TensorFlow may fill it with numbers that are none.
      if (found === null || !found.subarray(0, size).every((pivot) => pivot > 0)) return null;
      const x = found.slice(size, 2 * size);
      const s = x.map((value) => value + 1);
      return { x, heldOut: judge && meanSquaredResidual(judge, s, atScales(judge, x, found.subarray(2 * size))) };
    },

    add(a, b) {
      return {
        ...{ scales: a.scales, size: a.size },
        matrix: ops.add(a.matrix, b.matrix),
        residual: ops.add(a.residual, b.residual),
        diagonal: sum(a.diagonal, b.diagonal),
        offset: a.offset && b.offset && sum(a.offset, b.offset),
        atOne: sum(a.atOne, b.atOne),
        right: sum(a.right, b.right),
        targetSquares: a.targetSquares + b.targetSquares,
        coordinates: a.coordinates + b.coordinates,
        positions: a.positions + b.positions,
      };
    },
  };
}

/** M·s from M·x, with s = x + 1 and 0 for the offset. */
function atScales({ scales, offset, atOne }: DeviceSystem, x: Float64Array, product: Float64Array): Float64Array {
  const moved = offset === null ? 0 : x[scales];
  return product.map((value, i) => atOne[i] + value - (offset === null ? 0 : moved * offset[i]));
}

function sum(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]);
}

/** x [size, 1] with the Cholesky factor that it comes from; what they hold where there is no factor is not said. */
interface Solution {
  readonly x: DeviceTensor;
  readonly factor: DeviceTensor;
}

/** (M + λ m E) x = r with m the mean of the scales' diagonal and E the identity but for 0 at the offset. */
function solveRidge(
  { kernels: { systems }, ops }: Forward,
  { scales, size, diagonal, matrix, residual }: DeviceSystem,
  lambda: number,
  checkCancelled: () => void,
): Solution | null {
  const damping = (lambda * diagonal.subarray(0, scales).reduce((trace, value) => trace + value, 0)) / scales;
  const factor = cholesky(ops, systems.damp(matrix, damping, scales < size), { checkCancelled });
  if (factor === null) return null;
  checkCancelled();
  return { x: solveFactored(ops, factor, residual), factor };
}

/** The published system: the minimiser of |M x − r|² + |x|², (M² + I) x = M r.
 *
 * Formed as it stands, M² squares a condition number that reaches 10⁷ and the identity drowns in its rounding. With
 * B = (M + I)⁻¹ and the Cayley transform N = (M − I) B = I − 2B, which commute, M² + I = ½ (M + I)(I + N²)(M + I) and
 *   x = (I + N) y,   (I + N²) y = B r,
 * where the eigenvalues of I + N² lie in [1, 2]. */
function solveReference(
  { kernels: { systems }, ops }: Forward,
  system: DeviceSystem,
  { checkCancelled, invert }: Required<DeviceAlgebraOptions>,
): Solution | null {
  const factor = cholesky(ops, systems.damp(system.matrix, 1, false), { checkCancelled });
  if (factor === null) return null;
  checkCancelled();
  const x = invert ? byInverse(ops, system, factor) : byIteration(ops, system, factor, checkCancelled);
  return x && { x, factor };
}

// With B as a matrix few operations are left, and I + N² has a factor that loses nothing.
function byInverse(ops: Ops, { size, residual }: DeviceSystem, factor: DeviceTensor): DeviceTensor | null {
  const identity = ops.diagonalMatrix64(ops.toFloat64(ops.ones([size])));
  const inverse = solveFactored(ops, factor, identity);
  const n = ops.sub(identity, ops.add(inverse, inverse));
  const inner = cholesky(ops, ops.add(identity, ops.matMul(n, n)));
  if (inner === null) return null;
  const y = solveFactored(ops, inner, ops.matMul(inverse, residual));
  return ops.add(y, ops.matMul(n, y));
}

// Chebyshev's iteration (Saad, Iterative Methods for Sparse Linear Systems, algorithm 12.1) reaches rounding level in a number
// of steps that is known, without asking how far it is.
function byIteration(
  ops: Ops,
  { residual }: DeviceSystem,
  factor: DeviceTensor,
  checkCancelled: () => void,
): DeviceTensor {
  const timesB = (v: DeviceTensor) => solveFactored(ops, factor, v);
  const timesN = (v: DeviceTensor) => {
    checkCancelled();
    const b = timesB(v);
    return ops.sub(v, ops.add(b, b));
  };
  const scaled = (v: DeviceTensor, by: number) => ops.mul(v, ops.engine.scalar64(by));

  // y = (I + N²)⁻¹ B r; the middle of [1, 2] and half of its length.
  const [middle, half] = [1.5, 0.5];
  const slope = middle / half;
  let rest = timesB(residual);
  let step = scaled(rest, 1 / middle);
  let y = step;
  let rho = 1 / slope;
  for (let count = 1; count < REFERENCE_STEPS; count++) {
    rest = ops.sub(rest, ops.add(step, timesN(timesN(step))));
    const next = 1 / (2 * slope - rho);
    step = ops.add(scaled(step, next * rho), scaled(rest, (2 * next) / half));
    rho = next;
    y = ops.add(y, step);
  }
  return ops.add(y, timesN(y));
}

/** L·Lᵀ·x = right. @param right [size, columns] */
function solveFactored(ops: Ops, factor: DeviceTensor, right: DeviceTensor): DeviceTensor {
  return ops.triangularSolve64(factor, ops.triangularSolve64(factor, right, false), true);
}
