// The three searches among what remains of a pruned model, against all subsets of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptCounts } from '../../../pruning/compact.ts';
import type { Importance } from '../../../pruning/fisher.ts';
import { GRID_CELLS, knapsackMasks } from '../../../pruning/knapsack.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { type RandomStream, randomStream } from '../../../pruning/random.ts';
import { searchMasks } from '../../../pruning/search.ts';
import { searchOrder } from '../../../pruning/search-remaining.ts';
import { totalCost } from '../../../pruning/sub-layer-costs.ts';
import { uniformMasks } from '../../../pruning/uniform.ts';

const SIZES = { layers: 2, heads: 3, neurons: 4 };

function randomImportance(random: RandomStream): Importance {
  return {
    heads: new Float64Array(6).map(() => 3 * random.uniform()),
    neurons: new Float64Array(8).map(() => random.uniform()),
  };
}

/** Each variable is left with this chance. */
function randomRemaining(random: RandomStream, chance: number): Masks {
  const masks = denseMasks(SIZES.layers, SIZES.heads, SIZES.neurons);
  for (const mask of [masks.headMask, masks.neuronMask])
    for (let at = 0; at < mask.length; at++) mask[at] = Number(random.uniform() < chance);
  return masks;
}

/** All masks that take nothing back. */
function subsetsOf({ headMask, neuronMask }: Masks): { headMask: number[]; neuronMask: number[] }[] {
  const left = [...headMask, ...neuronMask].flatMap((bit, at) => (bit === 1 ? [at] : []));
  return Array.from({ length: 2 ** left.length }, (_, subset) => {
    const bits = new Array<number>(headMask.length + neuronMask.length).fill(0);
    for (const [i, at] of left.entries()) bits[at] = (subset >> i) & 1;
    return { headMask: bits.slice(0, headMask.length), neuronMask: bits.slice(headMask.length) };
  });
}

const dot = (mask: ArrayLike<number>, values: Float64Array) =>
  values.reduce((sum, value, at) => sum + value * mask[at], 0);
const totalOf = (masks: { headMask: ArrayLike<number>; neuronMask: ArrayLike<number> }, importance: Importance) =>
  dot(masks.headMask, importance.heads) + dot(masks.neuronMask, importance.neurons);
const ones = (mask: ArrayLike<number>) => Array.from(mask).reduce((sum, bit) => sum + bit, 0);

/** The most important head that each layer still has, the most important one first. */
function guardsOf({ headMask }: Masks, { heads }: Importance): number[] {
  const byLayer = [0, 1].map((layer) =>
    [0, 1, 2].map((head) => 3 * layer + head).filter((head) => headMask[head] === 1),
  );
  const best = byLayer.flatMap((own) =>
    own.length === 0 ? [] : [own.reduce((a, b) => (heads[b] > heads[a] ? b : a))],
  );
  return best.sort((a, b) => heads[b] - heads[a]);
}

function requireWithin(masks: Masks, remaining: Masks): void {
  for (const [mask, left] of [
    [masks.headMask, remaining.headMask],
    [masks.neuronMask, remaining.neuronMask],
  ])
    for (let at = 0; at < mask.length; at++) assert.ok(mask[at] <= left[at], `${at} was pruned and is kept again`);
  assert.ok([...masks.headScales, ...masks.neuronScales].every((scale) => scale === 1));
}

test('paper: the best of all subsets that hold the guards, or as many of the most important guards as the budget buys', () => {
  const random = randomStream(5, 'remaining');
  let withoutAll = 0;
  let heldByGuard = 0;
  for (let round = 0; round < 150; round++) {
    const importance = randomImportance(random);
    const remaining = randomRemaining(random, 0.7);
    const [headCost, neuronCost] = [1 + 4 * random.uniform(), 1];
    const budgetMacs = (ones(remaining.headMask) * headCost + ones(remaining.neuronMask)) * 1.1 * random.uniform();
    const problem = { importance, ...SIZES, headCost, neuronCost, budgetMacs };
    const masks = searchMasks({ ...problem, remaining });
    const cost = (own: { headMask: ArrayLike<number>; neuronMask: ArrayLike<number> }) =>
      ones(own.headMask) * headCost + ones(own.neuronMask) * neuronCost;
    assert.ok(cost(masks) <= budgetMacs, `round ${round}: over the budget`);
    requireWithin(masks, remaining);
    const guards = guardsOf(remaining, importance);
    const bought = guards.slice(0, Math.floor(budgetMacs / headCost));
    for (const head of bought) assert.equal(masks.headMask[head], 1, `round ${round}: guard ${head}`);
    if (bought.length < guards.length) {
      withoutAll++;
      assert.equal(ones(masks.headMask), bought.length);
    }
    const best = subsetsOf(remaining)
      .filter((own) => cost(own) <= budgetMacs && bought.every((head) => own.headMask[head] === 1))
      .reduce((most, own) => Math.max(most, totalOf(own, importance)), 0);
    // Sums of at most 14 terms in another order.
    assert.ok(Math.abs(totalOf(masks, importance) - best) < 1e-12, `round ${round}`);
    const free = subsetsOf(remaining)
      .filter((own) => cost(own) <= budgetMacs)
      .reduce((most, own) => Math.max(most, totalOf(own, importance)), 0);
    if (free > best + 1e-9) heldByGuard++;
  }
  assert.ok(
    withoutAll > 5 && heldByGuard > 5,
    `${withoutAll} budgets do not buy all guards, ${heldByGuard} are less good`,
  );
});

test('paper: with all that remains of a dense model the guard alone is another search', () => {
  const random = randomStream(6, 'remaining');
  for (let round = 0; round < 20; round++) {
    const importance = randomImportance(random);
    const problem = { importance, ...SIZES, headCost: 2, neuronCost: 1, budgetMacs: 20 * random.uniform() };
    const all = denseMasks(SIZES.layers, SIZES.heads, SIZES.neurons);
    const free = searchMasks(problem);
    const holds = guardsOf(all, importance).every((head) => free.headMask[head] === 1);
    if (holds) assert.deepEqual(searchMasks({ ...problem, remaining: all }), free);
  }
});

test('a budget above what remains keeps all of it', () => {
  const random = randomStream(7, 'remaining');
  const remaining = randomRemaining(random, 0.5);
  const importance = randomImportance(random);
  const costs = { attention: Float64Array.of(0, 1, 2, 3), ffn: Float64Array.of(0, 1, 2, 3, 4) };
  for (const masks of [
    searchMasks({ importance, ...SIZES, headCost: 1, neuronCost: 1, budgetMacs: 14, remaining }),
    knapsackMasks({ importance, ...SIZES, costs, neuronMultiple: 1, budget: 14, remaining }),
  ]) {
    assert.deepEqual(masks.headMask, remaining.headMask);
    assert.deepEqual(masks.neuronMask, remaining.neuronMask);
  }
});

test('order: a guard of each layer that has a head, the rest by importance, equal ones by index; nothing that is gone', () => {
  const remaining = denseMasks(3, 3, 1);
  remaining.headMask.set([1, 1, 1, 0, 0, 0, 0, 1, 1]);
  remaining.neuronMask.set([1, 0, 1]);
  const importance = { heads: Float64Array.of(5, 5, 6, 9, 9, 9, 9, 1, 1), neurons: Float64Array.of(1, 3, 2) };
  const { heads, neurons, guarded } = searchOrder(importance, remaining);
  assert.deepEqual([[...heads], [...neurons], guarded], [[2, 7, 0, 1, 8], [2, 0], 2]);
  assert.throws(() => searchOrder({ ...importance, heads: new Float64Array(6) }, remaining), {
    code: 'shape_mismatch',
  });
});

test('knapsack: the best of all subsets with as many guards as fit, in tables that do not rise', () => {
  const random = randomStream(8, 'remaining');
  let stoodBack = 0;
  for (let round = 0; round < 80; round++) {
    const importance = randomImportance(random);
    const remaining = randomRemaining(random, 0.7);
    const whole = (most: number) => Math.floor(most * random.uniform());
    const costs = {
      attention: Float64Array.of(0, 1 + whole(8), 1 + whole(8), 1 + whole(8)),
      ffn: Float64Array.of(0, whole(8), whole(8), whole(8), whole(8)),
    };
    const budget = whole(24);
    const masks = knapsackMasks({ importance, ...SIZES, costs, neuronMultiple: 1, budget, remaining });
    requireWithin(masks, remaining);
    const kept = keptCounts(masks);
    assert.ok(totalCost(costs, kept) <= budget, `round ${round}: over the budget`);
    const guards = guardsOf(remaining, importance);
    const costOf = (own: { headMask: number[]; neuronMask: number[] }) =>
      totalCost(costs, keptCounts({ ...remaining, ...arrays(own) }));
    const fitting = subsetsOf(remaining).filter((own) => costOf(own) <= budget);
    const held = (count: number) =>
      fitting.filter((own) => guards.slice(0, count).every((head) => own.headMask[head] === 1));
    let count = guards.length;
    while (held(count).length === 0) count--;
    if (count < guards.length) stoodBack++;
    const best = held(count).reduce((most, own) => Math.max(most, totalOf(own, importance)), 0);
    // Four cells are less than a unit of cost, so the grid hides nothing.
    assert.ok(4 * budget < GRID_CELLS);
    assert.ok(Math.abs(totalOf(masks, importance) - best) < 1e-12, `round ${round}`);
  }
  assert.ok(stoodBack > 3, `guards stood back in ${stoodBack} rounds`);
});

function arrays({ headMask, neuronMask }: { headMask: number[]; neuronMask: number[] }) {
  return { headMask: Uint8Array.from(headMask), neuronMask: Uint8Array.from(neuronMask) };
}

test('knapsack: multiples of neurons hold among what remains', () => {
  const remaining = denseMasks(1, 1, 8);
  remaining.neuronMask.set([1, 1, 0, 1, 1, 1, 0, 0]);
  const importance = { heads: Float64Array.of(1), neurons: Float64Array.of(1, 2, 9, 3, 4, 5, 9, 9) };
  const costs = { attention: Float64Array.of(0, 1), ffn: new Float64Array(9).map((_, count) => count) };
  const problem = { importance, layers: 1, heads: 1, neurons: 8, costs, remaining };
  const kept = (neuronMultiple: number, budget: number) => [
    ...knapsackMasks({ ...problem, neuronMultiple, budget }).neuronMask,
  ];
  assert.deepEqual(kept(4, 8), [0, 1, 0, 1, 1, 1, 0, 0]);
  assert.deepEqual(kept(4, 4), [0, 0, 0, 0, 0, 0, 0, 0], 'the guarded head takes a unit of the budget');
  assert.deepEqual(kept(1, 3), [0, 0, 0, 0, 1, 1, 0, 0]);
});

test('uniform: as many neurons in every layer as the one with fewest has, of those that remain; heads must all remain', () => {
  const remaining = denseMasks(SIZES.layers, SIZES.heads, SIZES.neurons);
  remaining.neuronMask.set([1, 0, 1, 1, 0, 1, 1, 1]);
  const importance = { heads: new Float64Array(6), neurons: Float64Array.of(1, 9, 3, 2, 9, 1, 2, 3) };
  const costs = { attention: new Float64Array(4), ffn: Float64Array.of(0, 1, 2, 3, 4) };
  const kept = (budget: number) => uniformMasks({ importance, ...SIZES, costs, neuronMultiple: 1, budget, remaining });
  assert.deepEqual([...kept(8).neuronMask], [1, 0, 1, 1, 0, 1, 1, 1]);
  assert.deepEqual([...kept(5).neuronMask], [0, 0, 1, 1, 0, 0, 1, 1]);
  assert.deepEqual([...kept(2).neuronMask], [0, 0, 1, 0, 0, 0, 0, 1]);
  assert.deepEqual(keptCounts(kept(2)).headsByLayer, [3, 3]);
  remaining.headMask[4] = 0;
  assert.throws(() => kept(8), {
    code: 'shape_mismatch',
    message: 'remaining: got 5 heads, expected all 6, which uniform masks keep',
  });
});
