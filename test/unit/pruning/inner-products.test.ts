// Inner products two numbers at a time have the bits of those one by one, whatever is left over of eight.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dot } from '../../../pruning/fisher-block.ts';
import { InnerProducts } from '../../../pruning/inner-products.ts';
import { randomStream } from '../../../pruning/random.ts';

test('the bits of one by one, for columns of any length and of any size', () => {
  const random = randomStream(1, 'inner-products');
  const value = () => (random.uniform() - 0.5) * 2 ** Math.floor(60 * random.uniform() - 30);
  for (const rows of [1, 2, 7, 8, 9, 15, 16, 17, 23, 64, 171, 1000]) {
    const count = 9;
    const columns = new Float64Array(count * rows).map(value);
    columns.fill(-0, 2 * rows, 3 * rows);
    const products = new InnerProducts(columns, rows);
    assert.deepEqual(products.columns, columns);
    assert.deepEqual(products.own, new Float64Array(rows));
    const own = new Float64Array(rows).map(value);
    products.own.set(own);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < count; j++) {
        const expected = dot(columns, i * rows, columns, j * rows, rows);
        assert.ok(Object.is(products.of(i, j), expected), `${rows} rows, ${i} and ${j}`);
      }
      assert.ok(Object.is(products.withOwn(i), dot(columns, i * rows, own, 0, rows)), `${rows} rows, ${i}`);
    }
  }
});

test('columns of others are not seen, and those of no rows give 0', () => {
  const [ones, twos] = [1, 2].map((value) => new InnerProducts(new Float64Array(32).fill(value), 16));
  assert.deepEqual([ones.of(0, 1), twos.of(0, 1), ones.of(1, 1)], [16, 64, 16]);
  assert.equal(new InnerProducts(new Float64Array(0), 0).withOwn(0), 0);
});
