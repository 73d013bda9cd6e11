// The float64 linear algebra of the tuning solves on TensorFlow: several times faster than plain JavaScript from a few
// hundred unknowns on, with the same results up to rounding.

import type { LinearAlgebra } from '../../pruning/linear-algebra.ts';
import type { DeviceTensor } from './engine.ts';
import type { Ops } from './ops.ts';

/** Up to this size one operation multiplies or factors, a few tenths of a second on a busy core; what is larger goes panel
 * by panel, since an operation cannot be given up. Both numbers are part of what makes results equal, like the plan. */
const WHOLE_SIZE = 1536;
const PANEL = 512;

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
        if (aRows <= WHOLE_SIZE) return engine.downloadFloat64(ops.matMul(left, right, false, true));
        const product = new Float64Array(aRows * bRows);
        for (let first = 0; first < aRows; first += PANEL) {
          checkCancelled();
          const rows = ops.slice(left, [first, 0], [Math.min(PANEL, aRows - first), inner]);
          product.set(engine.downloadFloat64(ops.matMul(rows, right, false, true)), first * bRows);
        }
        return product;
      });
    },
    cholesky(matrix, size) {
      checkCancelled();
      if (size === 0) return new Float64Array(0);
      if (size > WHOLE_SIZE) return choleskyByPanels(ops, matrix, size, checkCancelled);
      const factor = engine.scope(() =>
        engine.downloadFloat64(ops.cholesky64(engine.uploadFloat64(matrix, [size, size]))),
      );
      // TensorFlow gives NaN where there is no factor.
      return factor.every(Number.isFinite) ? factor : null;
    },
    between: checkCancelled,
  };
}

/** The left-looking blocked factorisation (Golub and Van Loan, Matrix Computations, section 4.2): from a block of columns
 * what the panels before explain is taken, its diagonal block is factored, and the rows below are solved for. */
function choleskyByPanels(
  ops: Ops,
  matrix: Float64Array,
  size: number,
  checkCancelled: () => void,
): Float64Array | null {
  const { engine } = ops;
  const factor = new Float64Array(size * size);
  return engine.scope(() => {
    const whole = engine.uploadFloat64(matrix, [size, size]);
    const panels: { readonly first: number; readonly tensor: DeviceTensor }[] = [];
    for (let first = 0; first < size; first += PANEL) {
      const width = Math.min(PANEL, size - first);
      const rows = size - first;
      const tensor = engine.scope(() => {
        let rest = ops.slice(whole, [first, first], [rows, width]);
        for (const before of panels) {
          checkCancelled();
          const left = ops.slice(before.tensor, [first - before.first, 0], [rows, PANEL]);
          rest = ops.sub(rest, ops.matMul(left, ops.slice(left, [0, 0], [width, PANEL]), false, true));
        }
        checkCancelled();
        const corner = ops.cholesky64(ops.slice(rest, [0, 0], [width, width]));
        if (rows === width) return corner;
        const below = ops.transpose(ops.slice(rest, [width, 0], [rows - width, width]), [1, 0]);
        return ops.concat([corner, ops.transpose(ops.triangularSolve64(corner, below, false), [1, 0])], 0);
      });
      panels.push({ first, tensor });
      const values = engine.downloadFloat64(tensor);
      if (!values.every(Number.isFinite)) return null;
      for (let row = 0; row < rows; row++)
        factor.set(values.subarray(row * width, (row + 1) * width), (first + row) * size + first);
    }
    return factor;
  });
}
