// Solves the ridge systems of a sub-layer's projections in float64 on the device: solutions stay there, and what they are
// judged by comes back in one transfer. With G = XᵀDX and B = XᵀDR the weighted squared error of a projection W is
// tr WᵀGW − 2 tr WᵀB + Σ D·R², so that judging takes no pass over positions.
import { requireFinite } from '../../pruning/normal-equations.ts';
import type { RefitAlgebra, RefitJudge, RefitSystem } from '../../pruning/refit.ts';
import { cholesky } from '../engine/cholesky.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';

/** The projection that the student has, float64: of an output n features and D outputs, of inputs D and n. */
export interface CurrentProjection {
  /** [n + 1, D], the bias last. */
  readonly whole: DeviceTensor;
  /** The same with 0 for the bias: what a ridge pulls towards. */
  readonly pull: DeviceTensor;
}

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
export interface DeviceJudge extends DeviceRefit, RefitJudge {
  /** 2 B */
  readonly twice: DeviceTensor;
}

/** The student's projection of a sub-layer. The tensors belong to the scope that is open.
 * @param kernel float64 [n, D]; null: no features. @param bias float64 [1, D] */
export function currentProjection(ops: Ops, kernel: DeviceTensor | null, bias: DeviceTensor): CurrentProjection {
  if (kernel === null) return { whole: bias, pull: ops.sub(bias, bias) };
  const belowKernel = [
    [0, 1],
    [0, 0],
  ] as const;
  return { whole: ops.concat([kernel, bias], 0), pull: ops.pad(kernel, belowKernel) };
}

/** The systems that sums make; what the host needs of them comes in one transfer.
 * @param heldOut null: nothing is. @throws EspalierError "not_finite" where a number is not. */
export function makeRefits<Sums>(
  ops: Ops,
  { fit, heldOut, current }: { fit: Sums; heldOut: Sums | null; current: CurrentProjection },
  termsOf: (own: Sums) => RefitTerms,
): { readonly fit: DeviceRefit; readonly heldOut: DeviceJudge | null } {
  const { engine } = ops;
  const [size, hiddenSize] = current.whole.shape;
  const { fitted, judging, numbers } = engine.scope(() => {
    const ofFit = termsOf(fit);
    const told = toldOf(ops, ofFit);
    const terms = heldOut && termsOf(heldOut);
    const ofJudge = terms && { ...terms, twice: ops.add(terms.right, terms.right) };
    if (ofJudge !== null) told.push(...toldOf(ops, ofJudge), errorTerms(ops, ofJudge, current.whole));
    return { fitted: ofFit, judging: ofJudge, numbers: engine.downloadFloat64(ops.concat(told, 0)) };
  });
  // A number that is not finite leaves no sum that is.
  requireFinite('diagonals, sums of all and squares of targets', numbers);
  const count = size + 2;
  const refitOf = ({ matrix, right, positions }: RefitTerms, own: Float64Array): DeviceRefit => {
    return { matrix, right, diagonal: own.slice(0, size), targetSquares: 2 * own[count - 1], positions };
  };
  const made = refitOf(fitted, numbers.subarray(0, count));
  if (judging === null) return { fit: made, heldOut: null };
  const judge = refitOf(judging, numbers.subarray(count));
  const unchanged = meanError(judge, numbers[2 * count], hiddenSize);
  return { fit: made, heldOut: { ...judge, twice: judging.twice, unchanged } };
}

/** Diagonal, sum of all and half the squares of targets. */
function toldOf(ops: Ops, { matrix, right, halfSquares }: RefitTerms): DeviceTensor[] {
  const whole = ops.add(ops.sum64(matrix, [0, 1]), ops.sum64(right, [0, 1]));
  return [ops.diagonal64(matrix), ops.reshape(whole, [1]), ops.reshape(halfSquares, [1])];
}

/** Σ W ⊙ (G W − 2 B), [1] */
function errorTerms(
  ops: Ops,
  { matrix, twice }: Pick<DeviceJudge, 'matrix' | 'twice'>,
  projection: DeviceTensor,
): DeviceTensor {
  const product = ops.sub(ops.matMul(matrix, projection), twice);
  return ops.reshape(ops.sum64(ops.mul(projection, product), [0, 1]), [1]);
}

/** @param terms as of `errorTerms`. */
function meanError({ targetSquares, positions }: DeviceRefit, terms: number, hiddenSize: number): number {
  return Math.max(0, (targetSquares + terms) / (positions * hiddenSize));
}

/** Projections are float64 tensors [n + 1, D] of the scope that is open.
 * @param checkCancelled called between operations; throws when nobody waits for the refit any more. */
export function refitAlgebra(
  ops: Ops,
  current: CurrentProjection,
  checkCancelled: () => void = () => {},
): RefitAlgebra<DeviceRefit, DeviceJudge, DeviceTensor> {
  const { engine } = ops;
  const [size, hiddenSize] = current.whole.shape;
  return {
    solve(system, lambda, judge) {
      const found = engine.scope(() => {
        const damped = uploadDamping(ops, system, lambda);
        const factor = cholesky(ops, ops.withDiagonal64(system.matrix, damped.diagonal), { checkCancelled });
        if (factor === null) return null;
        const right = ops.add(system.right, ops.mul(current.pull, damped.pull));
        checkCancelled();
        const half = ops.triangularSolve64(factor, right, false);
        checkCancelled();
        const projection = ops.triangularSolve64(factor, half, true);
        checkCancelled();
        // A number that is not finite leaves neither that is.
        const told =
          judge === null ? ops.reshape(ops.sum64(projection, [0, 1]), [1]) : errorTerms(ops, judge, projection);
        return { projection, numbers: engine.downloadFloat64(ops.concat([ops.diagonal64(factor), told], 0)) };
      });
      // Where there is no factor TensorFlow may fill it with numbers that are none.
      if (found === null || !found.numbers.subarray(0, size).every((pivot) => pivot > 0)) return null;
      const { projection, numbers } = found;
      const told = numbers[size];
      if (!Number.isFinite(told)) return null;
      return { projection, heldOut: judge && meanError(judge, told, hiddenSize) };
    },

    add(a, b) {
      return {
        matrix: ops.add(a.matrix, b.matrix),
        right: ops.add(a.right, b.right),
        diagonal: a.diagonal.map((value, i) => value + b.diagonal[i]),
        targetSquares: a.targetSquares + b.targetSquares,
        positions: a.positions + b.positions,
      };
    },
  };
}

/** The damped diagonal, and λ m alone [1, 1], in one upload. */
function uploadDamping(
  ops: Ops,
  { diagonal }: DeviceRefit,
  lambda: number,
): { readonly diagonal: DeviceTensor; readonly pull: DeviceTensor } {
  const size = diagonal.length;
  const features = size - 1;
  const trace = diagonal.subarray(0, features).reduce((sum, value) => sum + value, 0);
  const pull = features === 0 ? 0 : (lambda * trace) / features;
  const table = new Float64Array(size + 1).fill(pull);
  for (let i = 0; i < size; i++) table[i] = i < features ? diagonal[i] + pull : diagonal[i];
  const sent = ops.engine.uploadFloat64(table, [size + 1]);
  return { diagonal: ops.slice(sent, [0], [size]), pull: ops.reshape(ops.slice(sent, [size], [1]), [1, 1]) };
}
