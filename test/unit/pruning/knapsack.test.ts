import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptCounts } from '../../../pruning/compact.ts';
import { denseCosts, maskMacs } from '../../../pruning/cost.ts';
import type { Importance } from '../../../pruning/fisher.ts';
import { GRID_CELLS, type KnapsackProblem, knapsackMasks, leastCost } from '../../../pruning/knapsack.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { type RandomStream, randomStream } from '../../../pruning/random.ts';
import { searchMasks } from '../../../pruning/search.ts';
import { macsCosts, neuronChoices, totalCost } from '../../../pruning/sub-layer-costs.ts';

const SIZES = { layers: 2, heads: 2, neurons: 4 };

function randomImportance(random: RandomStream, { layers, heads, neurons } = SIZES): Importance {
  return {
    heads: new Float64Array(layers * heads).map(() => 3 * random.uniform()),
    neurons: new Float64Array(layers * neurons).map(() => random.uniform()),
  };
}

function keptValue({ headMask, neuronMask }: Masks, { heads, neurons }: Importance): number {
  const kept = (mask: Uint8Array, values: Float64Array) => values.reduce((sum, value, at) => sum + value * mask[at], 0);
  return kept(headMask, heads) + kept(neuronMask, neurons);
}

/** Most importance of all subsets of heads and neurons whose counts are allowed, and the cost of that subset; each
 * sub-layer costs what the tables say of its count. */
function exhaustive(problem: KnapsackProblem, budget: number): number {
  const { importance, layers, heads, neurons, costs, neuronMultiple } = problem;
  const allowed = neuronChoices(neurons, neuronMultiple);
  const subsets = (all: Float64Array, layer: number, size: number, table: Float64Array, counts: readonly number[]) =>
    Array.from({ length: 2 ** size }, (_, subset) => {
      const kept = [...all.subarray(layer * size, (layer + 1) * size)].filter((_, at) => (subset >> at) & 1);
      return { value: kept.reduce((sum, value) => sum + value, 0), cost: table[kept.length], count: kept.length };
    }).filter(({ count }) => counts.includes(count));
  let found = [{ value: 0, cost: 0 }];
  for (let layer = 0; layer < layers; layer++)
    for (const part of [
      subsets(importance.heads, layer, heads, costs.attention, neuronChoices(heads, 1)),
      subsets(importance.neurons, layer, neurons, costs.ffn, allowed),
    ])
      found = found.flatMap(({ value, cost }) =>
        part.map((one) => ({ value: value + one.value, cost: cost + one.cost })),
      );
  return found.reduce((best, { value, cost }) => (cost <= budget ? Math.max(best, value) : best), -1);
}

const tableOf = (length: number, cost: (count: number) => number) =>
  new Float64Array(length).map((_, count) => cost(count));

test('whole costs: the value of an exhaustive search, with tables that do not rise and costs of keeping nothing', () => {
  const random = randomStream(11, 'knapsack');
  let vanished = 0;
  for (let round = 0; round < 60; round++) {
    const whole = (most: number) => Math.floor(most * random.uniform());
    const costs = { attention: tableOf(3, () => whole(12)), ffn: tableOf(5, () => whole(12)) };
    const importance = randomImportance(random);
    const problem = { ...SIZES, importance, costs, neuronMultiple: round % 3 === 0 ? 2 : 1, budget: 0 };
    const least = leastCost(problem);
    const budget = least + whole(40);
    const masks = knapsackMasks({ ...problem, budget });
    const kept = keptCounts(masks);
    assert.ok(totalCost(costs, kept) <= budget, `round ${round}`);
    for (const count of kept.neuronsByLayer) assert.ok(neuronChoices(4, problem.neuronMultiple).includes(count));
    // Four cells are less than a unit of cost, so the grid hides nothing. Sums of twelve terms in another order.
    assert.ok(4 * (budget - least) < GRID_CELLS);
    assert.ok(Math.abs(keptValue(masks, importance) - exhaustive(problem, budget)) < 1e-12, `round ${round}`);
    if ([...kept.headsByLayer, ...kept.neuronsByLayer].includes(0)) vanished++;
  }
  assert.ok(vanished > 0, 'some sub-layers vanish');
});

test('any costs: never over the budget, at least the best of the budget less a cell a sub-layer', () => {
  const random = randomStream(12, 'knapsack');
  for (let round = 0; round < 60; round++) {
    const costs = { attention: tableOf(3, () => random.uniform()), ffn: tableOf(5, () => 2 * random.uniform()) };
    const importance = randomImportance(random);
    const problem = { ...SIZES, importance, costs, neuronMultiple: 1, budget: 0 };
    const least = leastCost(problem);
    const budget = least + 4 * random.uniform();
    const masks = knapsackMasks({ ...problem, budget });
    const value = keptValue(masks, importance);
    assert.ok(totalCost(costs, keptCounts(masks)) <= budget);
    assert.ok(value >= exhaustive(problem, budget - (4 * (budget - least)) / GRID_CELLS) - 1e-12, `round ${round}`);
    assert.ok(value <= exhaustive(problem, budget) + 1e-12);
  }
});

test('counts in MACs: the value of the paper search, which is the best there is; multiples cost some of it', () => {
  const random = randomStream(13, 'knapsack');
  const sizes = { layers: 4, heads: 4, neurons: 256 };
  const shape = { tokens: 17.3, hiddenSize: 64, headSize: 16 };
  const { headCost, neuronCost, totalMacs } = denseCosts(sizes, shape);
  for (const share of [0.1, 0.25, 0.5, 0.9]) {
    const importance = randomImportance(random, sizes);
    const budget = share * totalMacs;
    const paper = keptValue(
      searchMasks({ ...sizes, importance, headCost, neuronCost, budgetMacs: budget }),
      importance,
    );
    let before = Number.POSITIVE_INFINITY;
    for (const neuronMultiple of [1, 8, 32]) {
      const masks = knapsackMasks({ ...sizes, importance, costs: macsCosts(sizes, shape), budget, neuronMultiple });
      const value = keptValue(masks, importance);
      assert.ok(maskMacs(masks, shape) <= budget);
      assert.ok(keptCounts(masks).neuronsByLayer.every((count) => count % neuronMultiple === 0));
      // What is left of the budget buys no neuron; a cell a sub-layer is 0.05 % of the budget.
      if (neuronMultiple === 1) assert.ok(value <= paper + 1e-9 && value > 0.9995 * paper, `${value} of ${paper}`);
      assert.ok(value <= before + 1e-9);
      before = value;
    }
  }
});

test('ties: earlier sub-layers first, then the lower index; a budget of exactly n units buys n', () => {
  const importance = { heads: new Float64Array(4).fill(1), neurons: new Float64Array(8).fill(1) };
  const costs = { attention: tableOf(3, (count) => count), ffn: tableOf(5, (count) => count) };
  const kept = (budget: number) => knapsackMasks({ ...SIZES, importance, costs, budget, neuronMultiple: 1 });
  const masks = kept(7);
  assert.deepEqual(keptCounts(masks).headsByLayer, [2, 1]);
  assert.deepEqual(keptCounts(masks).neuronsByLayer, [4, 0]);
  assert.deepEqual([...masks.headMask], [1, 1, 1, 0]);
  for (let budget = 0; budget <= 12; budget++) {
    const { heads, neurons } = keptCounts(kept(budget));
    assert.equal(heads + neurons, budget);
  }
});

test('a larger count that costs less is taken; a full count is allowed though it is no multiple', () => {
  const importance = { heads: Float64Array.of(1), neurons: Float64Array.of(1, 2, 3, 4, 5) };
  const costs = { attention: Float64Array.of(1, 0.5), ffn: Float64Array.of(0, 9, 9, 9, 2, 3) };
  const problem = { importance, layers: 1, heads: 1, neurons: 5, costs, neuronMultiple: 4 };
  assert.deepEqual(neuronChoices(5, 4), [0, 4, 5]);
  assert.equal(leastCost(problem), 0.5);
  const kept = (budget: number) => {
    const { heads, neurons } = keptCounts(knapsackMasks({ ...problem, budget }));
    return [heads, neurons];
  };
  assert.deepEqual(kept(0.5), [1, 0]);
  assert.deepEqual(kept(2.5), [1, 4]);
  assert.deepEqual(kept(3.5), [1, 5]);
  assert.deepEqual([...knapsackMasks({ ...problem, budget: 2.5 }).neuronMask], [0, 1, 1, 1, 1]);
});

test('a budget below the cheapest choices, sizes that do not fit and costs that are no numbers are refused', () => {
  const importance = { heads: Float64Array.of(1), neurons: Float64Array.of(1) };
  const costs = { attention: Float64Array.of(1, 2), ffn: Float64Array.of(1, 2) };
  const problem = { importance, layers: 1, heads: 1, neurons: 1, costs, budget: 1.5, neuronMultiple: 1 };
  assert.throws(() => knapsackMasks(problem), {
    code: 'budget_out_of_range',
    message: 'budget: got 1.5, expected at least 2',
  });
  assert.throws(() => knapsackMasks({ ...problem, layers: 2 }), { code: 'shape_mismatch' });
  assert.throws(() => knapsackMasks({ ...problem, costs: { ...costs, ffn: Float64Array.of(1) } }), {
    code: 'shape_mismatch',
  });
  for (const cost of [Number.NaN, -1, Number.POSITIVE_INFINITY])
    assert.throws(() => knapsackMasks({ ...problem, costs: { ...costs, attention: Float64Array.of(0, cost) } }), {
      code: 'not_finite',
    });
  const broken = { ...importance, heads: Float64Array.of(Number.NaN) };
  assert.throws(() => knapsackMasks({ ...problem, importance: broken, budget: 4 }), { code: 'not_finite' });
});
