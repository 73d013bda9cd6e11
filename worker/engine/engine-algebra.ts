// The float64 linear algebra of the tuning solves on TensorFlow: several times faster than plain JavaScript from a few
// hundred unknowns on, with the same results up to rounding.

import type { LinearAlgebra } from '../../pruning/linear-algebra.ts';
import type { Ops } from './ops.ts';

/** LinearAlgebra on the engine's device. See the interface for shapes.
 * @param checkCancelled called before each operation; throws when nobody waits for the solve any more. */
export function engineAlgebra(ops: Ops, checkCancelled: () => void = () => {}): LinearAlgebra {
  const { engine } = ops;
  return {
    timesTranspose(a, aRows, b, bRows, inner) {
      checkCancelled();
      return engine.scope(() => {
        const left = engine.uploadFloat64(a, [aRows, inner]);
        const right = a === b ? left : engine.uploadFloat64(b, [bRows, inner]);
        return engine.downloadFloat64(ops.matMul(left, right, false, true));
      });
    },
    cholesky(matrix, size) {
      checkCancelled();
      if (size === 0) return new Float64Array(0);
      const factor = engine.scope(() =>
        engine.downloadFloat64(ops.cholesky64(engine.uploadFloat64(matrix, [size, size]))),
      );
      // TensorFlow gives NaN where there is no factor.
      return factor.every(Number.isFinite) ? factor : null;
    },
  };
}
