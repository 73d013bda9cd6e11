// Reading and comparing what tasks return.
import assert from 'node:assert/strict';
import type { NamedTensor } from '../../../shared/tensor.ts';

/** Data of the tensor called `name`. */
export function numbers(tensors: readonly NamedTensor[], name: string): number[] {
  return Array.from(tensorOf(tensors, name).data as Float32Array);
}

export function tensorOf(tensors: readonly NamedTensor[], name: string): NamedTensor {
  const found = tensors.find((tensor) => tensor.name === name);
  assert.ok(found, `no tensor ${name} among ${tensors.map((tensor) => tensor.name)}`);
  return found;
}

export function byName(tensors: readonly NamedTensor[]): Map<string, NamedTensor> {
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

/** Largest difference, relative to the largest expected size. */
export function largestGap(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  const scale = Array.from(expected).reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  return largestDifference(got, expected) / (scale || 1);
}

/** Largest absolute difference; infinite where a number is not finite. */
export function largestDifference(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(got.length, expected.length, 'length');
  let largest = 0;
  for (let i = 0; i < got.length; i++) {
    const difference = Math.abs(got[i] - expected[i]);
    largest = Math.max(largest, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return largest;
}

export function assertWithin(gap: number, tolerance: number, what: string): void {
  assert.ok(gap <= tolerance, `${what}: off by ${gap}, tolerance ${tolerance}`);
}

/** Same names, types, shapes and bits. */
export function assertSameBits(got: readonly NamedTensor[], expected: readonly NamedTensor[], what: string): void {
  const plain = ({ name, dtype, shape, data }: NamedTensor) => ({
    name,
    dtype,
    shape: [...shape],
    bits: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'),
  });
  assert.deepEqual(got.map(plain), expected.map(plain), what);
}

/** Sums over rows of the squares of each variable, float64. @param rows [rows, variables] */
export function squaresOfRows(rows: readonly number[], variables: number): Float64Array {
  const sums = new Float64Array(variables);
  rows.forEach((value, at) => {
    sums[at % variables] += value * value;
  });
  return sums;
}
