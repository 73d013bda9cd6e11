// How masks of rounded products are compared with float32's, and when fewer bits count as no worse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseMasks } from '../../../pruning/masks.ts';
import {
  cellOf,
  judged,
  maskDifference,
  type RoundingRun,
  roundingTable,
  shareChanged,
} from '../../bench/rounding/figures.ts';

const IMPORTANCE = { heads: Float64Array.of(8, 4), neurons: Float64Array.of(4, 2, 1, 1) };

function masks(heads: readonly number[], neurons: readonly number[]) {
  const made = denseMasks(1, 2, 4);
  return { ...made, headMask: Uint8Array.from(heads), neuronMask: Uint8Array.from(neurons) };
}

function run(own: Partial<RoundingRun>): RoundingRun {
  const kept = masks([1, 0], [1, 1, 0, 0]);
  const scores = { gradients: 80, tuning: 80 };
  return {
    ...{ model: 'made-up', budget: 0.5, seed: 0, bits: null, searched: kept, rearranged: kept },
    ...{ importance: IMPORTANCE, scores, ...own },
  };
}

test('a variable that took the place of another counts once, one that came or went half', () => {
  assert.equal(shareChanged(Uint8Array.of(1, 1, 0, 0), Uint8Array.of(1, 0, 1, 0)), 0.5);
  assert.equal(shareChanged(Uint8Array.of(1, 1, 0, 0), Uint8Array.of(1, 0, 0, 0)), 0.25);
  assert.equal(shareChanged(Uint8Array.of(0, 0), Uint8Array.of(0, 1)), 0, 'nothing was kept');
});

test('importance is what float32 found, of the masks of the search', () => {
  const other = {
    searched: masks([1, 0], [1, 0, 1, 0]),
    importance: { heads: new Float64Array(2), neurons: new Float64Array(4) },
  };
  const difference = maskDifference(run({}), run(other));
  assert.deepEqual(difference, {
    searched: { heads: 0, neurons: 0.5 },
    rearranged: { heads: 0, neurons: 0 },
    importance: 1 - 13 / 14,
  });
});

const moved = (count: number) => masks([1, 0], count === 0 ? [1, 1, 0, 0] : count === 1 ? [1, 0, 1, 0] : [0, 0, 1, 1]);

function cell(changed: { ten: number; seven: number }, seven: Partial<RoundingRun['scores']> = {}) {
  return cellOf(
    [0, 1].flatMap((seed) => {
      const scores = { gradients: 80 + seed, tuning: 80 + seed };
      return [
        run({ seed, scores }),
        run({ seed, scores, bits: 10, rearranged: moved(changed.ten) }),
        run({ seed, scores: { ...scores, ...seven }, bits: 7, rearranged: moved(changed.seven) }),
      ];
    }),
  );
}

const WIDTHS = { fewer: 7, more: 10 };

test('masks move where 7 bits change more than 1.5 times as many as 10 do', () => {
  assert.deepEqual(judged([cell({ ten: 1, seven: 1 })], WIDTHS).masks, []);
  assert.deepEqual(judged([cell({ ten: 0, seven: 0 })], WIDTHS).masks, []);
  assert.deepEqual(judged([cell({ ten: 1, seven: 2 })], WIDTHS).masks, ['made-up 0.5 neurons']);
});

test('quality moves where a mean leaves the deviation of the seeds', () => {
  const still = { ten: 0, seven: 0 };
  // 80.5 ± 0.71 in float32.
  assert.deepEqual(judged([cell(still, { gradients: 81.2 })], WIDTHS).quality, []);
  assert.deepEqual(judged([cell(still, { gradients: 81.3 })], WIDTHS).quality, ['made-up 0.5 gradients']);
  assert.deepEqual(judged([cell(still, { tuning: 79 })], WIDTHS).quality, ['made-up 0.5 tuning']);
});

test('the table has a row of other seeds and one of each rounding', () => {
  const [, , ...rows] = roundingTable([cell({ ten: 0, seven: 1 })])
    .trimEnd()
    .split('\n');
  assert.deepEqual(rows, [
    '| made-up 0.5 | float32, another seed | 0.00 / 0.00 | 0.00 / 0.00 | 0.0000 | 80.50 ± 0.71 |  |',
    '| made-up 0.5 | 10 bits | 0.00 / 0.00 | 0.00 / 0.00 | 0.0000 | 80.50 ± 0.71 | 80.50 ± 0.71 |',
    '| made-up 0.5 | 7 bits | 0.00 / 0.00 | 0.00 / 50.00 | 0.0000 | 80.50 ± 0.71 | 80.50 ± 0.71 |',
  ]);
});
