// The published system solved in fixed point of hundreds of bits: what every float64 solve of it, the plain one too, is off by
// can be told apart from what it is right about.

const BITS = 400n;
const ONE = 1n << BITS;

const times = (a: bigint, b: bigint): bigint => (a * b) >> BITS;

/** x with (M² + I) x = M r, rounded once. @param matrix M symmetric [size, size] @param residual r [size] */
export function solveExactly(matrix: Float64Array, size: number, residual: Float64Array): Float64Array {
  const rows = Array.from({ length: size }, (_, i) =>
    Array.from(matrix.subarray(i * size, (i + 1) * size), fixedPoint),
  );
  const dot = (row: readonly bigint[], at: (k: number) => bigint) =>
    row.reduce((sum, value, k) => sum + times(value, at(k)), 0n);
  const squared = rows.map((row, i) => row.map((_, j) => dot(row, (k) => rows[k][j]) + (i === j ? ONE : 0n)));
  const right = Array.from(residual, fixedPoint);
  const x = rows.map((row) => dot(row, (k) => right[k]));
  for (let i = 0; i < size; i++)
    for (let below = i + 1; below < size; below++) {
      const factor = (squared[below][i] << BITS) / squared[i][i];
      for (let j = i; j < size; j++) squared[below][j] -= times(factor, squared[i][j]);
      x[below] -= times(factor, x[i]);
    }
  for (let i = size - 1; i >= 0; i--) {
    for (let j = i + 1; j < size; j++) x[i] -= times(squared[i][j], x[j]);
    x[i] = (x[i] << BITS) / squared[i][i];
  }
  return Float64Array.from(x, floatingPoint);
}

function fixedPoint(value: number): bigint {
  const words = new DataView(new ArrayBuffer(8));
  words.setFloat64(0, Math.abs(value));
  const exponent = Number(words.getBigUint64(0) >> 52n);
  if (exponent === 0) return 0n;
  const fraction = (words.getBigUint64(0) & ((1n << 52n) - 1n)) | (1n << 52n);
  const size =
    exponent >= 1075 ? (fraction << BITS) << BigInt(exponent - 1075) : (fraction << BITS) >> BigInt(1075 - exponent);
  return value < 0 ? -size : size;
}

function floatingPoint(value: bigint): number {
  const size = value < 0n ? -value : value;
  const dropped = BigInt(Math.max(0, size.toString(2).length - 64));
  return ((value < 0n ? -1 : 1) * Number(size >> dropped)) / 2 ** (Number(BITS) - Number(dropped));
}
