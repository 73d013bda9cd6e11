// Solves the ridge systems of a sub-layer's projections in float64 on the device: solutions stay there, and what they are
// judged by comes back in one transfer. With G = XᵀDX and B = XᵀDR the weighted squared error of a projection W is
// tr WᵀGW − 2 tr WᵀB + Σ D·R², so that judging takes no pass over positions.
import { requireFinite } from '../../pruning/normal-equations.ts';
import type { RefitAlgebra, RefitSystem } from '../../pruning/refit.ts';
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
 * @param termsOf of each; it runs in a scope of its own.
 * @throws EspalierError "not_finite" where a number is not. */
export function makeRefits<Sums>(ops: Ops, sums: readonly Sums[], termsOf: (own: Sums) => RefitTerms): DeviceRefit[] {
  const { engine } = ops;
  const { made, numbers } = engine.scope(() => {
    const all = sums.map((own) => {
      const { matrix, right, halfSquares, positions } = termsOf(own);
      const whole = ops.add(ops.sum64(matrix, [0, 1]), ops.sum64(right, [0, 1]));
      const told = [ops.diagonal64(matrix), ops.reshape(whole, [1]), ops.reshape(halfSquares, [1])];
      return { matrix, right, positions, told };
    });
    return {
      made: all.map(({ matrix, right, positions }) => ({ matrix, right, positions })),
      numbers: engine.downloadFloat64(
        ops.concat(
          all.flatMap(({ told }) => told),
          0,
        ),
      ),
    };
  });
  let at = 0;
  return made.map(({ matrix, right, positions }) => {
    const own = numbers.subarray(at, at + matrix.shape[0] + 2);
    at += own.length;
    // A number that is not finite leaves no sum that is.
    requireFinite('diagonal, sum of all and squares of targets', own);
    return { matrix, right, diagonal: own.slice(0, -2), targetSquares: 2 * own[own.length - 1], positions };
  });
}

/** Projections are float64 tensors [n + 1, D] of the scope that is open.
 * @param checkCancelled called between operations; throws when nobody waits for the refit any more. */
export function refitAlgebra(
  ops: Ops,
  current: CurrentProjection,
  checkCancelled: () => void = () => {},
): RefitAlgebra<DeviceRefit, DeviceTensor> {
  const { engine } = ops;
  const [size, hiddenSize] = current.whole.shape;
  return {
    solve(system, lambdas, judge) {
      const { rungs, numbers } = engine.scope(() => {
        const damped = uploadDamping(ops, system, lambdas);
        const judged = judge && { matrix: judge.matrix, twice: ops.add(judge.right, judge.right) };
        // Σ W ⊙ (G W − 2 B)
        const errorOf = (w: DeviceTensor): DeviceTensor[] => {
          if (judged === null) return [];
          checkCancelled();
          const product = ops.sub(ops.matMul(judged.matrix, w), judged.twice);
          return [ops.reshape(ops.sum64(ops.mul(w, product), [0, 1]), [1])];
        };
        const told = errorOf(current.whole);
        const solved = damped.map(({ diagonal, pull }) => {
          const own = engine.scope(() => {
            const factor = cholesky(ops, ops.withDiagonal64(system.matrix, diagonal), { checkCancelled });
            if (factor === null) return null;
            const right = ops.add(system.right, ops.mul(current.pull, pull));
            checkCancelled();
            const half = ops.triangularSolve64(factor, right, false);
            checkCancelled();
            const w = ops.triangularSolve64(factor, half, true);
            const sum = ops.reshape(ops.sum64(w, [0, 1]), [1]);
            return { w, told: [ops.diagonal64(factor), sum, ...errorOf(w)] };
          });
          if (own !== null) told.push(...own.told);
          return own?.w ?? null;
        });
        return { rungs: solved, numbers: told.length === 0 ? null : engine.downloadFloat64(ops.concat(told, 0)) };
      });
      let at = 0;
      const take = (count: number) => {
        at += count;
        return numbers?.subarray(at - count, at) ?? new Float64Array(0);
      };
      const heldOut = () => judge && (judge.targetSquares + take(1)[0]) / (judge.positions * hiddenSize);
      const unchanged = heldOut();
      return {
        unchanged: unchanged && Math.max(0, unchanged),
        solutions: rungs.map((projection) => {
          if (projection === null) return null;
          // Where there is no factor TensorFlow may fill it with numbers that are none.
          const isSolved = take(size).every((pivot) => pivot > 0) && Number.isFinite(take(1)[0]);
          const error = heldOut();
          if (!isSolved || !Number.isFinite(error ?? 0)) return null;
          return { projection, heldOut: error && Math.max(0, error) };
        }),
      };
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

/** For each lambda the damped diagonal, and λ m alone [1, 1], in one upload. */
function uploadDamping(
  ops: Ops,
  { diagonal }: DeviceRefit,
  lambdas: readonly number[],
): { readonly diagonal: DeviceTensor; readonly pull: DeviceTensor }[] {
  const size = diagonal.length;
  const features = size - 1;
  const trace = diagonal.subarray(0, features).reduce((sum, value) => sum + value, 0);
  const pulls = lambdas.map((lambda) => (features === 0 ? 0 : (lambda * trace) / features));
  const table = Float64Array.from(
    pulls.flatMap((pull) => [...diagonal.map((value, i) => (i < features ? value + pull : value)), pull]),
  );
  const sent = ops.engine.uploadFloat64(table, [table.length]);
  return lambdas.map((_, i) => ({
    diagonal: ops.slice(sent, [i * (size + 1)], [size]),
    pull: ops.reshape(ops.slice(sent, [i * (size + 1) + size], [1]), [1, 1]),
  }));
}
