// Solves the damped systems of a sub-layer's scales in float64 on the device: a solution and what judges it come back in one
// transfer, matrices never do. The unknown is x = s − 1, so that damping pulls scales towards 1; with M = AᵀA and
// r = Aᵀb − M·1 (the residual's right side at scales 1, the offset's row included), M x = r undamped.
import { requireFinite } from '../../pruning/normal-equations.ts';
import { meanSquaredResidual, type ResidualTerms } from '../../pruning/scale-residual.ts';
import type { ScaleAlgebra, ScaleSystem } from '../../pruning/tuning.ts';
import { cholesky } from '../engine/cholesky.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { DeviceSums, Projection } from './device-sums.ts';

/** A system on the device. Its tensors belong to the scope in which it was made. */
export interface DeviceSystem extends ScaleSystem, ResidualTerms {
  /** k, or k + 1 with the offset as the last unknown. */
  readonly size: number;
  /** M, full and symmetric, [size, size]. */
  readonly matrix: DeviceTensor;
  /** r [size, 1] */
  readonly residual: DeviceTensor;
  /** M·s at scales 1 and offset 0, [size]. */
  readonly atOne: Float64Array;
}

export interface DeviceAlgebraOptions {
  /** Called between operations; throws when nobody waits for the solve any more. */
  readonly checkCancelled?: () => void;
  /** The reference system is solved with an explicit inverse, where nothing is said on a GPU: there many small products
   * are faster than triangular solves, which go through a matrix row after row. */
  readonly invert?: boolean;
}

/** Steps of Chebyshev's iteration after which an error is 0.17²² of what it was: rounding. */
const REFERENCE_STEPS = 22;

/** The system that sums make. @throws EspalierError "not_finite" where one of them is not. */
export function makeSystem(ops: Ops, sums: DeviceSums, { scales, hiddenSize, withOffset }: Projection): DeviceSystem {
  const { engine } = ops;
  const size = scales + (withOffset ? 1 : 0);
  const coordinates = sums.positions * hiddenSize;
  const { matrix, residual, numbers } = engine.scope(() => {
    const own = fromPanels(ops, sums.panels);
    const full = withOffset ? bordered(ops, own, sums.vector, coordinates) : own;
    const rowSums = ops.sum64(full, [1], true);
    const right = ops.slice(sums.vector, [0, 0], [size, 1]);
    return {
      matrix: full,
      residual: ops.sub(right, rowSums),
      numbers: engine.downloadFloat64(ops.concat([rowSums, sums.vector], 0)),
    };
  });
  const rowSums = numbers.slice(0, size);
  const right = numbers.slice(size, 2 * size);
  requireFinite('sums of rows of the matrix', rowSums);
  requireFinite('right side', numbers.subarray(size));
  const offset = withOffset ? [...numbers.subarray(2 * size + 1), coordinates] : null;
  return {
    ...{ scales, size, positions: sums.positions, coordinates, matrix, residual, right },
    targetSquares: numbers[2 * size],
    atOne: offset === null ? rowSums : rowSums.map((sum, i) => sum - offset[i]),
  };
}

/** A full matrix from its panels of rows from the diagonal on. */
function fromPanels(ops: Ops, panels: readonly DeviceTensor[]): DeviceTensor {
  if (panels.length === 1) return ops.copy(panels[0]);
  const firsts: number[] = [];
  let next = 0;
  for (const { shape } of panels) {
    firsts.push(next);
    next += shape[0];
  }
  const rows = panels.map((panel, p) => {
    const left = panels.slice(0, p).map((above, q) => {
      const block = ops.slice(above, [0, firsts[p] - firsts[q]], [above.shape[0], panel.shape[0]]);
      return ops.transpose(block, [1, 0]);
    });
    return ops.concat([...left, panel], 1);
  });
  return ops.concat(rows, 0);
}

/** [[matrix, offset], [offsetᵀ, coordinates]], the offset's column being the end of `vector`. */
function bordered(ops: Ops, matrix: DeviceTensor, vector: DeviceTensor, coordinates: number): DeviceTensor {
  const scales = matrix.shape[0];
  const offset = ops.slice(vector, [scales + 2, 0], [scales, 1]);
  const corner = ops.engine.uploadFloat64(Float64Array.of(coordinates), [1, 1]);
  const rows = ops.concat([matrix, offset], 1);
  return ops.concat([rows, ops.transpose(ops.concat([offset, corner], 0), [1, 0])], 0);
}

export function deviceAlgebra(ops: Ops, options: DeviceAlgebraOptions = {}): ScaleAlgebra<DeviceSystem> {
  const { engine } = ops;
  const { checkCancelled = () => {}, invert = engine.binding.isUsingGpuDevice() } = options;
  return {
    residualAtOne(system) {
      return meanSquaredResidual(system, new Float64Array(system.scales).fill(1), system.atOne);
    },

    solve(system, damping, judge) {
      const { size, scales } = system;
      const found = engine.scope(() => {
        const solution =
          damping.kind === 'ridge'
            ? solveRidge(ops, system, damping.lambda, checkCancelled)
            : solveReference(ops, system, { checkCancelled, invert });
        if (solution === null) return null;
        const { x, factor } = solution;
        const parts = [x, ops.reshape(ops.diagonal64(factor), [size, 1])];
        if (judge !== null) {
          const ones = filled(ops, size, 1, scales, [size, 1]);
          parts.push(ops.matMul(judge.matrix, ops.mul(ops.add(x, ones), ones)));
        }
        return engine.downloadFloat64(ops.concat(parts, 0));
      });
      // Where there is no factor TensorFlow may fill it with numbers that are none.
      if (found === null || !found.subarray(size, 2 * size).every((pivot) => pivot > 0)) return null;
      const x = found.slice(0, size);
      const s = x.map((value) => value + 1);
      return { x, heldOut: judge && meanSquaredResidual(judge, s, found.subarray(2 * size)) };
    },

    add(a, b) {
      return {
        ...{ scales: a.scales, size: a.size },
        matrix: ops.add(a.matrix, b.matrix),
        residual: ops.add(a.residual, b.residual),
        atOne: a.atOne.map((value, i) => value + b.atOne[i]),
        right: a.right.map((value, i) => value + b.right[i]),
        targetSquares: a.targetSquares + b.targetSquares,
        coordinates: a.coordinates + b.coordinates,
        positions: a.positions + b.positions,
      };
    },
  };
}

/** x [size, 1] with the Cholesky factor that it comes from; what they hold where there is no factor is not said. */
interface Solution {
  readonly x: DeviceTensor;
  readonly factor: DeviceTensor;
}

/** (M + λ m E) x = r with m the mean of the scales' diagonal and E the identity but for 0 at the offset. */
function solveRidge(ops: Ops, system: DeviceSystem, lambda: number, checkCancelled: () => void): Solution | null {
  const { size, scales, matrix, residual } = system;
  const diagonal = ops.diagonal64(matrix);
  const trace = ops.sum64(ops.slice(diagonal, [0], [scales]), [0]);
  const damping = ops.mul(filled(ops, size, lambda / scales, scales, [size]), trace);
  const factor = cholesky(ops, ops.withDiagonal64(matrix, ops.add(diagonal, damping)), { checkCancelled });
  if (factor === null) return null;
  checkCancelled();
  return { x: solveFactored(ops, factor, residual), factor };
}

/** The published system: the minimiser of |M x − r|² + |x|², (M² + I) x = M r.
 *
 * Formed as it stands, M² squares a condition number that reaches 10⁷ and the identity drowns in its rounding. With
 * B = (M + I)⁻¹ and the Cayley transform N = (M − I) B = I − 2B, which commute, M² + I = ½ (M + I)(I + N²)(M + I) and
 *   x = (I + N) (I + N²)⁻¹ B r.
 * The eigenvalues of I + N² lie in [1, 2], so Chebyshev's iteration (Saad, Iterative Methods for Sparse Linear Systems,
 * algorithm 12.1) reaches rounding level in a number of steps that is known, without asking how far it is. */
function solveReference(
  ops: Ops,
  { size, matrix, residual }: DeviceSystem,
  { checkCancelled, invert }: Required<DeviceAlgebraOptions>,
): Solution | null {
  const ones = filled(ops, size, 1, size, [size]);
  const shifted = ops.withDiagonal64(matrix, ops.add(ops.diagonal64(matrix), ones));
  const factor = cholesky(ops, shifted, { checkCancelled });
  if (factor === null) return null;
  const inverse = invert ? solveFactored(ops, factor, ops.diagonalMatrix64(ones)) : null;
  const timesB = (v: DeviceTensor) => (inverse === null ? solveFactored(ops, factor, v) : ops.matMul(inverse, v));
  const timesN = (v: DeviceTensor) => {
    checkCancelled();
    const b = timesB(v);
    return ops.sub(v, ops.add(b, b));
  };
  const scaled = (v: DeviceTensor, by: number) => ops.mul(v, filled(ops, 1, by, 1, []));

  // y = (I + N²)⁻¹ g; the middle of [1, 2] and half of its length.
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
  return { x: ops.add(y, timesN(y)), factor };
}

/** L·Lᵀ·x = right. @param right [size, columns] */
function solveFactored(ops: Ops, factor: DeviceTensor, right: DeviceTensor): DeviceTensor {
  return ops.triangularSolve64(factor, ops.triangularSolve64(factor, right, false), true);
}

/** Float64: `value` in the first `count` of `size` elements, then 0. */
function filled(ops: Ops, size: number, value: number, count: number, shape: number[]): DeviceTensor {
  return ops.engine.uploadFloat64(new Float64Array(size).fill(value, 0, count), shape);
}
