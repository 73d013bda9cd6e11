// Inner products two numbers at a time have the bits of those one by one, whatever is left over of eight.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InnerProducts } from '../../../pruning/inner-products.ts';
import { randomStream } from '../../../pruning/random.ts';

/** Row by row, each to the partial sum of its turn; what is left over of eight to the first. */
function plain(a: Float32Array, b: Float64Array): number {
  const sums = new Float64Array(8);
  const whole = a.length - (a.length % 8);
  for (const [row, value] of a.entries()) sums[row < whole ? row % 8 : 0] += value * b[row];
  const [sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7] = sums;
  return sum0 + sum1 + (sum2 + sum3) + (sum4 + sum5 + (sum6 + sum7));
}

test('the bits of one by one, for columns of any length and of any size', () => {
  const random = randomStream(1, 'inner-products');
  const value = () => (random.uniform() - 0.5) * 2 ** Math.floor(60 * random.uniform() - 30);
  for (const rows of [1, 2, 7, 8, 9, 15, 16, 17, 23, 64, 171, 1000]) {
    const count = 9;
    const columns = new Float32Array(count * rows).map(value);
    columns.fill(-0, 2 * rows, 3 * rows);
    const products = new InnerProducts(columns, rows);
    assert.deepEqual(products.columns, columns);
    assert.deepEqual(products.vector, new Float64Array(rows));
    const column = (i: number) => columns.subarray(i * rows, (i + 1) * rows);
    const list = Int32Array.of(8, 3, 2, 2, 0, 7, 1);
    const check = (vector: Float64Array, at: string) => {
      for (let i = 0; i < count; i++) assert.ok(Object.is(products.of(i), plain(column(i), vector)), `${at}, ${i}`);
      for (let length = 0; length <= list.length; length++) {
        const expected = Array.from(list.subarray(0, length), (i) => plain(column(i), vector));
        assert.deepEqual(Array.from(products.ofEach(list, length).subarray(0, length)), expected, at);
      }
    };
    for (let j = 0; j < count; j++) {
      products.take(j);
      check(Float64Array.from(column(j)), `${rows} rows, with ${j}`);
    }
    const vector = new Float64Array(rows).map(value);
    products.vector.set(vector);
    check(vector, `${rows} rows`);
  }
});

test('all columns at once, an odd number of them', () => {
  const products = new InnerProducts(Float32Array.of(1, 2, 3), 1);
  products.vector.fill(2);
  assert.deepEqual([...products.ofEach(Int32Array.of(2, 1, 0), 3).subarray(0, 3)], [6, 4, 2]);
});

test('columns of others are not seen, and those of no rows give 0', () => {
  const [ones, twos] = [1, 2].map((value) => new InnerProducts(new Float32Array(32).fill(value), 16));
  ones.take(1);
  twos.take(1);
  assert.deepEqual([ones.of(0), twos.of(0), ones.of(1)], [16, 64, 16]);
  assert.equal(new InnerProducts(new Float32Array(0), 0).of(0), 0);
});
