// Solves the ridge systems of a sub-layer's projections in float64 on the device: solutions stay there, and what they are
// judged by comes back in one transfer. With G = XᵀDX and B = XᵀDR the weighted squared error of a projection W is
// tr WᵀGW − 2 tr WᵀB + Σ D·R², so that judging takes no pass over positions.
import { requireFinite } from '../../pruning/normal-equations.ts';
import type { RefitAlgebra, RefitJudge, RefitSystem } from '../../pruning/refit.ts';
import { cholesky } from '../engine/cholesky.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { Forward } from '../model/forward.ts';

/** What sums say of a system. Tensors belong to the scope that is open. */
export interface RefitTerms {
  /** As of DeviceRefit. */
  readonly matrix: DeviceTensor;
  readonly right: DeviceTensor;
  /** ½ Σ D·R², [] */
  readonly halfSquares: DeviceTensor;
  readonly positions: number;
}

/** A system on the device. Its tensors belong to the scope in which it was made. */
export interface DeviceRefit extends RefitSystem {
  /** G, full and symmetric, [n + 1, n + 1]. */
  readonly matrix: DeviceTensor;
  /** B [n + 1, D] */
  readonly right: DeviceTensor;
  /** G's diagonal. */
  readonly diagonal: Float64Array;
  /** Σ D·R² */
  readonly targetSquares: number;
}

/** One that judges. */
export interface DeviceJudge extends DeviceRefit, RefitJudge {}

/** The systems that sums make; what the host needs of them comes in one transfer.
 * @param heldOut null: nothing is. @throws EspalierError "not_finite" where a number is not. */
export function makeRefits<Sums>(
  forward: Forward,
  { fit, heldOut, current }: { fit: Sums; heldOut: Sums | null; current: DeviceTensor },
  termsOf: (own: Sums) => RefitTerms,
): { readonly fit: DeviceRefit; readonly heldOut: DeviceJudge | null } {
  const { kernels, ops } = forward;
  const [size, hiddenSize] = current.shape;
  const { fitted, judging, numbers } = ops.engine.scope(() => {
    const ofFit = termsOf(fit);
    const told = toldOf(ops, ofFit);
    const ofJudge = heldOut && termsOf(heldOut);
    const matrices = [ofFit.matrix];
    if (ofJudge !== null) {
      matrices.push(ofJudge.matrix);
      told.push(...toldOf(ops, ofJudge), errorTerms(forward, ofJudge, current));
    }
    return { fitted: ofFit, judging: ofJudge, numbers: kernels.systems.download(matrices, told) };
  });
  // A number that is not finite leaves no sum that is.
  requireFinite('diagonals, sums of all and squares of targets', numbers);
  const diagonals = (judging === null ? 1 : 2) * size;
  const refitOf = ({ matrix, right, positions }: RefitTerms, at: number): DeviceRefit => {
    const halfSquares = numbers[diagonals + (at + 1) * TOLD - 1];
    const diagonal = numbers.slice(at * size, (at + 1) * size);
    return { matrix, right, diagonal, targetSquares: 2 * halfSquares, positions };
  };
  const made = refitOf(fitted, 0);
  if (judging === null) return { fit: made, heldOut: null };
  const judge = refitOf(judging, 1);
  return { fit: made, heldOut: { ...judge, unchanged: meanError(judge, numbers[diagonals + 2 * TOLD], hiddenSize) } };
}

const TOLD = 3;

/** Sums of all of matrix and right side, and half the squares of targets, [] each. */
function toldOf(ops: Ops, { matrix, right, halfSquares }: RefitTerms): DeviceTensor[] {
  return [ops.sum64(matrix, [0, 1]), ops.sum64(right, [0, 1]), halfSquares];
}

/** Σ W ⊙ (G W − 2 B), [] */
function errorTerms(
  { kernels, ops }: Forward,
  { matrix, right }: Pick<RefitTerms, 'matrix' | 'right'>,
  projection: DeviceTensor,
): DeviceTensor {
  return ops.sum64(kernels.systems.errorTerms(projection, ops.matMul(matrix, projection), right), [0, 1]);
}

/** @param terms as of `errorTerms`. */
function meanError({ targetSquares, positions }: DeviceRefit, terms: number, hiddenSize: number): number {
  return Math.max(0, (targetSquares + terms) / (positions * hiddenSize));
}

/** Projections are float64 tensors [n + 1, D] of the scope that is open.
 * @param current what the student has, as they are.
 * @param checkCancelled called between operations; throws when nobody waits for the refit any more. */
export function refitAlgebra(
  forward: Forward,
  current: DeviceTensor,
  checkCancelled: () => void = () => {},
): RefitAlgebra<DeviceRefit, DeviceJudge, DeviceTensor> {
  const { kernels, ops } = forward;
  const { systems } = kernels;
  const [size, hiddenSize] = current.shape;
  return {
    solve(system, lambda, judge) {
      const damping = dampingOf(system, lambda);
      const found = ops.engine.scope(() => {
        // The bias, which comes last, is not damped.
        const factor = cholesky(ops, systems.damp(system.matrix, damping, true), { checkCancelled });
        if (factor === null) return null;
        const right = systems.ridgeRight(system.right, current, damping);
        checkCancelled();
        const half = ops.triangularSolve64(factor, right, false);
        checkCancelled();
        const projection = ops.triangularSolve64(factor, half, true);
        checkCancelled();
        // A number that is not finite leaves neither that is.
        const told = judge === null ? ops.sum64(projection, [0, 1]) : errorTerms(forward, judge, projection);
        return { projection, numbers: systems.download([factor], [told]) };
      });
      // Where there is no factor TensorFlow may fill it with numbers that are none.
      if (found === null || !found.numbers.subarray(0, size).every((pivot) => pivot > 0)) return null;
      const { projection, numbers } = found;
      const told = numbers[size];
      if (!Number.isFinite(told)) return null;
      return { projection, heldOut: judge && meanError(judge, told, hiddenSize) };
    },

    add(a, b) {
      const [matrix, right] = systems.addParts([a.matrix, a.right], [b.matrix, b.right]);
      return {
        ...{ matrix, right },
        diagonal: a.diagonal.map((value, i) => value + b.diagonal[i]),
        targetSquares: a.targetSquares + b.targetSquares,
        positions: a.positions + b.positions,
      };
    },
  };
}

/** λ m, with m the mean of the diagonal over the features. */
function dampingOf({ diagonal }: DeviceRefit, lambda: number): number {
  const features = diagonal.length - 1;
  const trace = diagonal.subarray(0, features).reduce((sum, value) => sum + value, 0);
  return features === 0 ? 0 : (lambda * trace) / features;
}
