// The Cholesky factor of a float64 matrix on the device, in parts that can be given up on a CPU.
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from './engine.ts';
import type { Ops } from './ops.ts';

/** Up to this size a CPU factors in one operation, a few tenths of a second on a busy core; what is larger goes panel by
 * panel, since an operation cannot be given up. Both numbers are part of what makes results equal, like the plan. */
const WHOLE_SIZE = 1536;
const PANEL = 512;

/** @param matrix symmetric [size, size]; only the lower triangle is read. It belongs to the scope that is open, as the
 * result does. @param checkCancelled called between operations; throws when nobody waits any more.
 * @returns L [size, size] with matrix = L·Lᵀ and zeros above the diagonal. Where there is none: null, or a diagonal
 * of which something is not a positive number. */
export function cholesky(
  ops: Ops,
  matrix: DeviceTensor,
  { checkCancelled = () => {}, whole = ops.engine.binding.isUsingGpuDevice() } = {},
): DeviceTensor | null {
  const [size] = matrix.shape;
  checkCancelled();
  try {
    if (whole || size <= WHOLE_SIZE) return ops.cholesky64(matrix);
    return ops.engine.scope(() => byPanels(ops, matrix, size, checkCancelled));
  } catch (caught) {
    if (saysThatThereIsNone(caught)) return null;
    throw caught;
  }
}

/** The left-looking blocked factorisation (Golub and Van Loan, Matrix Computations, section 4.2): from a block of columns
 * what the panels before explain is taken, its diagonal block is factored, and the rows below are solved for. */
function byPanels(ops: Ops, matrix: DeviceTensor, size: number, checkCancelled: () => void): DeviceTensor {
  const { engine } = ops;
  const panels: { readonly first: number; readonly tensor: DeviceTensor }[] = [];
  for (let first = 0; first < size; first += PANEL) {
    const width = Math.min(PANEL, size - first);
    const rows = size - first;
    const tensor = engine.scope(() => {
      let rest = ops.slice(matrix, [first, first], [rows, width]);
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
  }
  const columns = panels.map(({ first, tensor }) =>
    ops.pad(tensor, [
      [first, 0],
      [0, 0],
    ]),
  );
  return ops.concat(columns, 1);
}

// TensorFlow fills the factor with NaN, or refuses (status 3, invalid argument), depending on device and version.
function saysThatThereIsNone(caught: unknown): boolean {
  return (
    caught instanceof EspalierError &&
    caught.code === 'engine' &&
    /^Cholesky\b.*(TF_Status: 3\b|decomposition was not successful)/i.test(caught.message)
  );
}
