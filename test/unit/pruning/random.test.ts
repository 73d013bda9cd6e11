import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';

test('the same seed and name give the same numbers; the golden ones', () => {
  const stream = randomStream(7, 'golden');
  const numbers = Array.from({ length: 4 }, () => stream.nextUint32());
  const again = randomStream(7, 'golden');
  assert.deepEqual(
    Array.from({ length: 4 }, () => again.nextUint32()),
    numbers,
  );
  assert.deepEqual(numbers, GOLDEN);
});

test('streams of other names or seeds, also large ones, share no prefix', () => {
  const starts = [
    randomStream(7, 'a'),
    randomStream(7, 'b'),
    randomStream(8, 'a'),
    randomStream(71, ''),
    randomStream(2 ** 32 + 7, 'a'),
    randomStream(Number.MAX_SAFE_INTEGER, 'a'),
  ].map((stream) => `${stream.nextUint32()} ${stream.nextUint32()}`);
  assert.equal(new Set(starts).size, starts.length);
  for (const seed of [-1, 0.5, 2 ** 53, Number.NaN]) assert.throws(() => randomStream(seed, 'a'), RangeError);
});

test('integers are uniform: 70 000 draws below 7 within 5 standard deviations', () => {
  const stream = randomStream(1, 'uniform');
  const counts = new Array(7).fill(0);
  for (let draw = 0; draw < 70_000; draw++) counts[stream.integer(7)]++;
  // sd of a count: √(70 000 · 1/7 · 6/7) = 92.6
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 463, `${counts}`);
  assert.equal(stream.integer(1), 0);
  assert.ok(stream.integer(2 ** 32) < 2 ** 32);
  for (const bound of [0, -1, 1.5, 2 ** 32 + 1]) assert.throws(() => stream.integer(bound), RangeError);
});

test('a large bound is not biased by the remainder', () => {
  const stream = randomStream(1, 'bias');
  const bound = 3 * 2 ** 30;
  let low = 0;
  for (let draw = 0; draw < 30_000; draw++) if (stream.integer(bound) < 2 ** 30) low++;
  // Plain remainders would give half; a third is right. sd 82.
  assert.ok(Math.abs(low - 10_000) < 410, `${low}`);
});

test('uniform numbers lie in [0, 1) with mean ½', () => {
  const stream = randomStream(2, 'unit');
  let sum = 0;
  for (let draw = 0; draw < 50_000; draw++) {
    const value = stream.uniform();
    assert.ok(value >= 0 && value < 1);
    sum += value;
  }
  // sd of the mean: 1 / √(12 · 50 000) = 0.0013
  assert.ok(Math.abs(sum / 50_000 - 0.5) < 0.0065);
});

test('a permutation holds every index once, and all orders of three are as likely', () => {
  const stream = randomStream(3, 'order');
  assert.deepEqual(
    [...stream.permutation(1000)].sort((a, b) => a - b),
    Array.from({ length: 1000 }, (_, i) => i),
  );
  assert.equal(stream.permutation(0).length, 0);
  const counts = new Map<string, number>();
  for (let draw = 0; draw < 12_000; draw++) {
    const order = stream.permutation(3).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  // sd 40.8
  for (const count of counts.values()) assert.ok(Math.abs(count - 2000) < 205, `${[...counts]}`);
});

// From a second implementation of the same definition, in Python with unbounded integers.
const GOLDEN = [11802536, 3809012156, 3587359900, 886999760];
