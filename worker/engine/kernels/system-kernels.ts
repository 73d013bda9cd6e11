// What linear systems of sums are made of, damped and judged, in few calls: what a GPU computes in microseconds takes the host as long
// to ask for. A call takes 16 tensors at most. Of equal inputs both implementations make equal bits. Tensors belong to the scope that is open, float64 where not said
// otherwise.
import type { DeviceTensor } from '../engine.ts';

export interface SystemKernels {
  /** Of each float32 product the first rows and columns that its size says, as float64, times its factor.
   * @param factors of those sizes; null: none. */
  widen(
    products: readonly DeviceTensor[],
    sizes: readonly (readonly [rows: number, columns: number])[],
    factors: readonly DeviceTensor[] | null,
  ): DeviceTensor[];

  /** The sum of each pair, whose tensors have one shape. */
  addParts(a: readonly DeviceTensor[], b: readonly DeviceTensor[]): DeviceTensor[];

  /** A symmetric matrix from its panels of rows from the diagonal on, [count, size − first] each: a single panel itself. */
  wholeMatrix(panels: readonly DeviceTensor[]): DeviceTensor;

  /** matrix + damping · E, with E the identity but for 0 at the last place where that is undamped. @param matrix [n, n] */
  damp(matrix: DeviceTensor, damping: number, isLastUndamped: boolean): DeviceTensor;

  /** right + damping · pulled, with 0 for the last row of what is pulled towards. @param right [n, D] @param pulled [n, D] */
  ridgeRight(right: DeviceTensor, pulled: DeviceTensor, damping: number): DeviceTensor;

  /** W ⊙ (P − 2 B), all of one shape. */
  errorTerms(projection: DeviceTensor, product: DeviceTensor, right: DeviceTensor): DeviceTensor;

  /** The diagonals of square matrices and then all numbers of other tensors, brought to the host in one transfer. */
  download(matrices: readonly DeviceTensor[], others: readonly DeviceTensor[]): Float64Array;
}
