import assert from 'node:assert/strict';
import { test } from 'node:test';
import { descending } from '../../../pruning/descending.ts';
import { randomStream } from '../../../pruning/random.ts';

const compared = (values: Float64Array) =>
  Int32Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);

test('the order is that of comparing, equal values by rising index', () => {
  const random = randomStream(3, 'descending');
  const lists = [
    [],
    [1],
    [0, -0, 0, -0],
    [2, 2, 1, 2],
    [5e-324, 0, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308],
    // Differ in the lowest bit alone, and in no bit of the lower half.
    [1, 1 + Number.EPSILON, 1 - Number.EPSILON / 2, 1],
    [3, 1.5, 0.75, 1.5, 6],
    Array.from({ length: 5000 }, () => random.uniform() * 10 ** (random.integer(40) - 20)),
    Array.from({ length: 5000 }, () => random.integer(7) - 3),
    Array.from({ length: 5000 }, () => (random.uniform() - 0.5) * random.integer(3)),
  ];
  for (const list of lists) {
    const values = Float64Array.from(list);
    const before = values.slice();
    assert.deepEqual(descending(values), compared(values), `${list.slice(0, 6)}`);
    assert.deepEqual(values, before);
  }
});

test('what has no place in an order is refused, with where it is', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    assert.throws(() => descending(Float64Array.of(1, 0, value)), {
      code: 'not_finite',
      message: `importance 2: got ${value}, expected a finite number`,
    });
});
