// The numbers of heads that a step tries, against every number there is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { searchMasks } from '../../../pruning/search.ts';
import { searchOrder } from '../../../pruning/search-remaining.ts';
import { MOST_SPLITS, splitMasks } from '../../../pruning/split.ts';

const SIZES = { layers: 3, heads: 4, neurons: 20 };
const ones = (mask: Uint8Array) => mask.reduce((sum, bit) => sum + bit, 0);
const dot = (mask: Uint8Array, values: Float64Array) => values.reduce((sum, value, at) => sum + value * mask[at], 0);

function randomProblem(random: ReturnType<typeof randomStream>) {
  const importance = {
    heads: new Float64Array(12).map(() => 8 * random.uniform()),
    neurons: new Float64Array(60).map(() => random.uniform()),
  };
  const remaining = denseMasks(SIZES.layers, SIZES.heads, SIZES.neurons);
  for (const mask of [remaining.headMask, remaining.neuronMask])
    for (let at = 0; at < mask.length; at++) mask[at] = Number(random.uniform() < 0.9);
  const [headCost, neuronCost] = [4 + 4 * random.uniform(), 1];
  const all = ones(remaining.headMask) * headCost + ones(remaining.neuronMask);
  const budgetMacs = all * 1.05 * random.uniform();
  return { importance, ...SIZES, headCost, neuronCost, budgetMacs, remaining };
}

test("the search's masks and others a quarter and half of the way to either end of what is worth trying", () => {
  const random = randomStream(1, 'split');
  const found = new Map<number, number>();
  for (let round = 0; round < 300; round++) {
    const problem = randomProblem(random);
    const { importance, remaining, headCost, budgetMacs } = problem;
    const { heads: order, neurons, guarded } = searchOrder(importance, remaining);
    const most = (heads: number) => {
      let count = 0;
      while (count < neurons.length && heads * headCost + (count + 1) <= budgetMacs) count++;
      return count;
    };
    const affordable = Array.from({ length: order.length + 1 }, (_, heads) => heads).filter(
      (heads) => heads * headCost <= budgetMacs,
    );
    const isContained = (heads: number) => affordable.includes(heads + 1) && most(heads + 1) === most(heads);
    const range = affordable.filter((heads) => heads >= guarded && !isContained(heads));
    const masks = splitMasks(problem);
    const best = searchMasks(problem);
    const total = ({ headMask, neuronMask }: Masks) =>
      dot(headMask, importance.heads) + dot(neuronMask, importance.neurons);
    // The best by importance is among equals at the most.
    assert.ok(Math.abs(total(masks[0]) - total(best)) < 1e-12, `round ${round}`);
    assert.deepEqual(masks[0], best, `round ${round}`);
    found.set(masks.length, (found.get(masks.length) ?? 0) + 1);
    if (range.length === 0) {
      assert.equal(masks.length, 1, `round ${round}: the guards cannot be bought`);
      continue;
    }
    const own = ones(best.headMask);
    const [low, high] = [Math.min(...range), Math.max(...range)];
    assert.ok(low <= own && own <= high);
    const expected = new Set([own]);
    for (const way of [0.25, 0.5]) {
      expected.add(own - Math.ceil(way * (own - low)));
      expected.add(own + Math.ceil(way * (high - own)));
    }
    const heads = masks.map(({ headMask }) => ones(headMask));
    assert.deepEqual([...heads].sort(), [...expected].sort(), `round ${round}`);
    for (const [i, own] of masks.entries()) {
      assert.deepEqual(
        [...own.headMask.keys()].filter((head) => own.headMask[head] === 1).sort(),
        [...order.subarray(0, heads[i])].sort(),
      );
      assert.equal(ones(own.neuronMask), most(heads[i]), `round ${round}: neurons beside ${heads[i]} heads`);
      for (const guard of order.subarray(0, guarded)) assert.equal(own.headMask[guard], 1);
      if (i > 0) assert.ok(total(own) <= total(masks[i - 1]) + 1e-12, `round ${round}: by falling importance`);
    }
  }
  assert.ok([1, 3, 5].every((count) => (found.get(count) ?? 0) > 3) && Math.max(...found.keys()) === MOST_SPLITS);
});

test('equal importance: more heads first', () => {
  const importance = { heads: new Float64Array(12), neurons: new Float64Array(60) };
  const remaining = denseMasks(SIZES.layers, SIZES.heads, SIZES.neurons);
  const masks = splitMasks({ importance, ...SIZES, headCost: 2, neuronCost: 1, budgetMacs: 40, remaining });
  // All 12 heads fit; the fewest are the three guards.
  assert.deepEqual(
    masks.map(({ headMask }) => ones(headMask)),
    [12, 9, 7],
  );
});
