import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseCosts, encoderMacs, headMacs, maskMacs, neuronMacs, smallestBudget } from '../../../pruning/cost.ts';
import { randomStream } from '../../../pruning/random.ts';
import { type SearchProblem, searchMasks } from '../../../pruning/search.ts';
import { EspalierError } from '../../../shared/errors.ts';

test('costs: a head is 4sDd + 2s²d, a neuron 2sD, BERT-base at 128 tokens 11.2 GMACs', () => {
  assert.equal(headMacs(10, 48, 12), 4 * 10 * 48 * 12 + 2 * 100 * 12);
  assert.equal(neuronMacs(10.5, 48), 1008);
  const shape = { tokens: 128, hiddenSize: 768, headSize: 64 };
  const { totalMacs, smallest } = denseCosts({ layers: 12, heads: 12, neurons: 3072 }, shape);
  assert.equal(totalMacs, encoderMacs({ heads: 144, neurons: 36864 }, shape));
  assert.equal(Math.round(totalMacs / 1e7), 1117);
  assert.equal(smallest, smallestBudget(headMacs(128, 768, 64), neuronMacs(128, 768), totalMacs));
  assert.throws(() => denseCosts({ layers: 1, heads: 1, neurons: 1 }, { ...shape, tokens: 0 }), { code: 'usage' });
});

/** Importance of every subset that fits: the best of all (knapsack), and the best among "h heads + n neurons" subsets
 * made of the most important ones. */
function exhaustive(problem: SearchProblem): { knapsack: number; split: number } {
  const { importance, headCost, neuronCost, budgetMacs } = problem;
  const values = [...importance.heads, ...importance.neurons];
  const headCount = importance.heads.length;
  let knapsack = 0;
  let split = 0;
  for (let subset = 0; subset < 2 ** values.length; subset++) {
    let total = 0;
    let cost = 0;
    const chosen = values.filter((value, at) => {
      if (((subset >> at) & 1) === 0) return false;
      total += value;
      cost += at < headCount ? headCost : neuronCost;
      return true;
    });
    if (cost > budgetMacs) continue;
    knapsack = Math.max(knapsack, total);
    const heads = values.slice(0, headCount).filter((_, at) => (subset >> at) & 1);
    const neurons = chosen.slice(heads.length);
    const isTop = (part: number[], whole: Float64Array) =>
      [...whole].filter((value) => !part.includes(value)).every((value) => part.every((other) => other > value));
    if (isTop(heads, importance.heads) && isTop(neurons, importance.neurons)) split = Math.max(split, total);
  }
  return { knapsack, split };
}

test('the result is the best split of all subsets, never overruns, and never beats the knapsack optimum', () => {
  const random = randomStream(3, 'search');
  let different = 0;
  for (let round = 0; round < 40; round++) {
    const importance = {
      heads: new Float64Array(4).map(() => random.uniform() * 3),
      neurons: new Float64Array(6).map(() => random.uniform()),
    };
    const headCost = 1 + 4 * random.uniform();
    const total = 4 * headCost + 6;
    const problem = { importance, layers: 2, heads: 2, neurons: 3, headCost, neuronCost: 1 };
    const budgetMacs = total * random.uniform();
    const masks = searchMasks({ ...problem, budgetMacs });
    const kept = (mask: Uint8Array, values: Float64Array) => values.reduce((sum, v, at) => sum + v * mask[at], 0);
    const got = kept(masks.headMask, importance.heads) + kept(masks.neuronMask, importance.neurons);
    const cost =
      masks.headMask.reduce((s, bit) => s + bit * headCost, 0) + masks.neuronMask.reduce((s, bit) => s + bit, 0);
    assert.ok(cost <= budgetMacs, `round ${round}: cost ${cost} over ${budgetMacs}`);
    const { split, knapsack } = exhaustive({ ...problem, budgetMacs });
    // Sums of at most ten terms in another order.
    assert.ok(Math.abs(got - split) < 1e-12, `round ${round}: got ${got}, best split ${split}`);
    assert.ok(got <= knapsack + 1e-12);
    if (knapsack > split + 1e-9) different++;
  }
  // Unit costs inside a kind: the best subset of given counts is the most important, so both optima are one.
  assert.equal(different, 0);
});

test('a budget of exactly n units buys n, although the quotient is rounded', () => {
  const importance = { heads: Float64Array.of(0.1), neurons: new Float64Array(1000).fill(1) };
  for (const count of [1, 3, 49, 333, 999]) {
    const neuronCost = 0.1;
    const problem = { importance, layers: 1, heads: 1, neurons: 1000, headCost: 1e9, neuronCost };
    const masks = searchMasks({ ...problem, budgetMacs: count * neuronCost });
    assert.equal(
      masks.neuronMask.reduce((sum, bit) => sum + bit, 0),
      count,
    );
  }
});

test('where heads alone cost too much, none is kept rather than the budget overrun', () => {
  const importance = { heads: Float64Array.of(100, 50), neurons: Float64Array.of(1, 2, 3, 4) };
  const masks = searchMasks({
    importance,
    layers: 1,
    heads: 2,
    neurons: 4,
    headCost: 10,
    neuronCost: 1,
    budgetMacs: 3,
  });
  assert.deepEqual([...masks.headMask], [0, 0]);
  assert.deepEqual([...masks.neuronMask], [0, 1, 1, 1]);
  assert.equal(maskMacs(masks, { tokens: 1, hiddenSize: 1, headSize: 1 }), 6);
});

test('ties: lower layer, then lower index, then more heads', () => {
  const importance = { heads: Float64Array.of(1, 1, 1, 1), neurons: Float64Array.of(1, 1, 1, 1) };
  const problem = { importance, layers: 2, heads: 2, neurons: 2, headCost: 1, neuronCost: 1 };
  const masks = searchMasks({ ...problem, budgetMacs: 5 });
  assert.deepEqual([...masks.headMask], [1, 1, 1, 1]);
  assert.deepEqual([...masks.neuronMask], [1, 0, 0, 0]);
});

test('nothing fits: everything is pruned; an importance that is not finite is refused', () => {
  const importance = { heads: Float64Array.of(1), neurons: Float64Array.of(1) };
  const problem = { importance, layers: 1, heads: 1, neurons: 1, headCost: 2, neuronCost: 2, budgetMacs: 1 };
  assert.deepEqual([...searchMasks(problem).headMask, ...searchMasks(problem).neuronMask], [0, 0]);
  const broken = { ...problem, importance: { ...importance, neurons: Float64Array.of(Number.NaN) } };
  assert.throws(
    () => searchMasks(broken),
    (error) => error instanceof EspalierError && error.code === 'not_finite',
  );
  assert.throws(() => searchMasks({ ...problem, layers: 2 }), { code: 'shape_mismatch' });
});
