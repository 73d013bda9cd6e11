import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptCounts } from '../../../pruning/compact.ts';
import { denseCosts, maskMacs } from '../../../pruning/cost.ts';
import { macsCosts } from '../../../pruning/sub-layer-costs.ts';
import { leastUniformCost, uniformMasks } from '../../../pruning/uniform.ts';

const SIZES = { layers: 2, heads: 2, neurons: 10 };
const SHAPE = { tokens: 8, hiddenSize: 16, headSize: 8 };
const { headCost, neuronCost, totalMacs } = denseCosts(SIZES, SHAPE);
const PROBLEM = {
  ...SIZES,
  importance: {
    heads: new Float64Array(4),
    // The second layer's neurons matter a hundred times as much; each layer keeps its own best all the same.
    neurons: Float64Array.from({ length: 20 }, (_, at) => (at < 10 ? 10 - at : 100 * at)),
  },
  costs: macsCosts(SIZES, SHAPE),
  neuronMultiple: 1,
};

test('every layer keeps all heads and the same number of its most important neurons', () => {
  for (let count = 1; count <= 10; count++) {
    const exact = 4 * headCost + 2 * count * neuronCost;
    for (const budget of [exact, exact + 1.99 * neuronCost]) {
      const masks = uniformMasks({ ...PROBLEM, budget: Math.min(budget, totalMacs) });
      assert.deepEqual(keptCounts(masks).headsByLayer, [2, 2]);
      assert.deepEqual(keptCounts(masks).neuronsByLayer, [count, count]);
      assert.ok(maskMacs(masks, SHAPE) <= budget);
      const expected = Array.from({ length: 20 }, (_, at) => Number(at < 10 ? at < count : at >= 20 - count));
      assert.deepEqual([...masks.neuronMask], expected);
    }
  }
});

test('multiples are kept to, all neurons allowed, equal neurons by index', () => {
  const kept = (neuronMultiple: number, count: number) =>
    keptCounts(uniformMasks({ ...PROBLEM, neuronMultiple, budget: 4 * headCost + 2 * count * neuronCost })).neurons;
  assert.deepEqual(
    [8, 9, 10].map((count) => kept(8, count)),
    [16, 16, 20],
  );
  const importance = { ...PROBLEM.importance, neurons: new Float64Array(20) };
  const masks = uniformMasks({ ...PROBLEM, importance, budget: 4 * headCost + 2 * 3 * neuronCost });
  assert.deepEqual([...masks.neuronMask.subarray(0, 10)], [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
});

test('a budget that heads alone exceed is refused with the smallest that there is', () => {
  const least = leastUniformCost(PROBLEM);
  assert.equal(least, 4 * headCost + 2 * neuronCost);
  assert.throws(() => uniformMasks({ ...PROBLEM, budget: 4 * headCost + neuronCost }), {
    code: 'budget_out_of_range',
    message: `budget: got ${4 * headCost + neuronCost}, expected at least ${least}`,
  });
  assert.equal(leastUniformCost({ ...PROBLEM, neuronMultiple: 8 }), 4 * headCost + 16 * neuronCost);
  const importance = { ...PROBLEM.importance, neurons: new Float64Array(19) };
  assert.throws(() => uniformMasks({ ...PROBLEM, importance, budget: totalMacs }), { code: 'shape_mismatch' });
});
