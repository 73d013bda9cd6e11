// Dense float64 linear algebra in plain JavaScript, which the worker's is compared with. All matrices are row-major.

/** Columns that are factored together: two blocks of rows of 64 · 64 float64 stay in the first-level cache. */
const BLOCK = 64;
/** Terms of an inner product that are summed before the next rows are read. */
const DEPTH = 256;

/** a·bᵀ.
 * @param a [aRows, inner] @param b [bRows, inner] @returns [aRows, bRows]. */
export function timesTranspose(
  a: Float64Array,
  aRows: number,
  b: Float64Array,
  bRows: number,
  inner: number,
): Float64Array {
  const product = new Float64Array(aRows * bRows);
  const symmetric = a === b && aRows === bRows;
  for (let from = 0; from < inner; from += DEPTH) {
    const to = Math.min(inner, from + DEPTH);
    for (let row = 0; row < aRows; row += BLOCK)
      for (let column = 0; column < (symmetric ? row + 1 : bRows); column += BLOCK)
        addProduct(
          { data: a, first: row, end: Math.min(aRows, row + BLOCK), stride: inner },
          { data: b, first: column, end: Math.min(bRows, column + BLOCK), stride: inner },
          from,
          to,
          product,
          bRows,
          1,
        );
  }
  if (symmetric) mirrorLower(product, aRows);
  return product;
}

/** Cholesky factor of a symmetric matrix, of which only the lower triangle is read: matrix = L·Lᵀ.
 * @returns L [size, size], zeros above the diagonal; null when the matrix is not positive definite or not finite. */
export function cholesky(matrix: Float64Array, size: number): Float64Array | null {
  const factor = new Float64Array(size * size);
  for (let row = 0; row < size; row++) factor.set(matrix.subarray(row * size, row * size + row + 1), row * size);
  for (let first = 0; first < size; first += BLOCK) {
    const end = Math.min(size, first + BLOCK);
    // What the finished columns explain of this block column, then the block column itself.
    for (let row = first; row < size; row += BLOCK)
      addProduct(
        { data: factor, first: row, end: Math.min(size, row + BLOCK), stride: size },
        { data: factor, first, end, stride: size },
        0,
        first,
        factor,
        size,
        -1,
      );
    if (!factorColumns(factor, size, first, end)) return null;
  }
  clearAboveDiagonal(factor, size);
  return factor;
}

/** Solves L·Lᵀ·x = right. @param factor [size, size] from `cholesky`. @returns x [size]. */
export function solveCholesky(factor: Float64Array, size: number, right: Float64Array): Float64Array {
  const x = right.slice();
  for (let row = 0; row < size; row++) {
    const start = row * size;
    let value = x[row];
    for (let column = 0; column < row; column++) value -= factor[start + column] * x[column];
    x[row] = value / factor[start + row];
  }
  // Lᵀ by columns of Lᵀ, which are rows of L, so that memory is read in order.
  for (let row = size - 1; row >= 0; row--) {
    const start = row * size;
    const value = x[row] / factor[start + row];
    x[row] = value;
    for (let column = 0; column < row; column++) x[column] -= factor[start + column] * value;
  }
  return x;
}

/** matrix·x for a full [size, size] matrix. */
export function multiplyVector(matrix: Float64Array, size: number, x: Float64Array): Float64Array {
  const product = new Float64Array(size);
  for (let row = 0; row < size; row++) {
    let sum = 0;
    for (let column = 0, at = row * size; column < size; column++, at++) sum += matrix[at] * x[column];
    product[row] = sum;
  }
  return product;
}

/** a·b. */
export function innerProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at] * b[at];
  return sum;
}

interface RowBlock {
  readonly data: Float64Array;
  readonly first: number;
  readonly end: number;
  readonly stride: number;
}

/** out[i,j] += sign · Σ_{k in from…to} a[i,k]·b[j,k] for the rows i of `a` and j of `b`, four by two at a time in registers. */
function addProduct(
  a: RowBlock,
  b: RowBlock,
  from: number,
  to: number,
  out: Float64Array,
  outStride: number,
  sign: 1 | -1,
): void {
  if (from >= to) return;
  const left = a.data;
  const right = b.data;
  let i = a.first;
  for (; i + 4 <= a.end; i += 4) {
    const a0 = i * a.stride;
    const a1 = a0 + a.stride;
    const a2 = a1 + a.stride;
    const a3 = a2 + a.stride;
    let j = b.first;
    for (; j + 2 <= b.end; j += 2) {
      const b0 = j * b.stride;
      const b1 = b0 + b.stride;
      let s00 = 0;
      let s01 = 0;
      let s10 = 0;
      let s11 = 0;
      let s20 = 0;
      let s21 = 0;
      let s30 = 0;
      let s31 = 0;
      for (let k = from; k < to; k++) {
        const y0 = right[b0 + k];
        const y1 = right[b1 + k];
        const x0 = left[a0 + k];
        const x1 = left[a1 + k];
        const x2 = left[a2 + k];
        const x3 = left[a3 + k];
        s00 += x0 * y0;
        s01 += x0 * y1;
        s10 += x1 * y0;
        s11 += x1 * y1;
        s20 += x2 * y0;
        s21 += x2 * y1;
        s30 += x3 * y0;
        s31 += x3 * y1;
      }
      const o = i * outStride + j;
      out[o] += sign * s00;
      out[o + 1] += sign * s01;
      out[o + outStride] += sign * s10;
      out[o + outStride + 1] += sign * s11;
      out[o + 2 * outStride] += sign * s20;
      out[o + 2 * outStride + 1] += sign * s21;
      out[o + 3 * outStride] += sign * s30;
      out[o + 3 * outStride + 1] += sign * s31;
    }
    for (; j < b.end; j++)
      for (let row = i; row < i + 4; row++)
        out[row * outStride + j] += sign * dotRange(left, row * a.stride, right, j * b.stride, from, to);
  }
  for (; i < a.end; i++)
    for (let j = b.first; j < b.end; j++)
      out[i * outStride + j] += sign * dotRange(left, i * a.stride, right, j * b.stride, from, to);
}

function dotRange(a: Float64Array, aStart: number, b: Float64Array, bStart: number, from: number, to: number): number {
  let sum = 0;
  for (let k = from; k < to; k++) sum += a[aStart + k] * b[bStart + k];
  return sum;
}

/** Factors columns first…end, from which the earlier columns' part is already taken; false where a pivot is not positive. */
function factorColumns(factor: Float64Array, size: number, first: number, end: number): boolean {
  for (let row = first; row < size; row++) {
    const start = row * size;
    for (let column = first; column < Math.min(row, end); column++) {
      const part = dotRange(factor, start, factor, column * size, first, column);
      factor[start + column] = (factor[start + column] - part) / factor[column * size + column];
    }
    if (row >= end) continue;
    const pivot = factor[start + row] - dotRange(factor, start, factor, start, first, row);
    if (!(pivot > 0 && pivot < Number.POSITIVE_INFINITY)) return false;
    factor[start + row] = Math.sqrt(pivot);
  }
  return true;
}

/** Copies what lies below the diagonal above it. */
function mirrorLower(matrix: Float64Array, size: number): void {
  for (let row = 0; row < size; row++)
    for (let column = 0; column < row; column++) matrix[column * size + row] = matrix[row * size + column];
}

/** The blocks on the diagonal were updated whole. */
function clearAboveDiagonal(factor: Float64Array, size: number): void {
  for (let row = 0; row < size; row++) factor.fill(0, row * size + row + 1, (row + 1) * size);
}
