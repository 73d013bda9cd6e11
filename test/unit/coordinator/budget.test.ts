// What a budget means for a model, and the smallest that there is.
import assert from 'node:assert/strict';
import test from 'node:test';
import { modelCosts } from '../../../coordinator/job/budget.ts';
import { modelConfig } from './configs.ts';

const budgets = (...texts: string[]) => ({
  budgets: texts.map((text) => ({ text, value: Number(text) })),
  ...{ search: 'paper' as const, neuronMultiple: 1 },
});

test('costs of a head, a neuron and the whole encoder', () => {
  // D = 8, d = 4, 10 tokens: 4·10·8·4 + 2·10²·4, 2·10·8, and 4 heads with 12 neurons.
  assert.deepEqual(modelCosts(modelConfig(), 10, budgets('0.5')), {
    tokens: 10,
    headCost: 2080,
    neuronCost: 160,
    totalMacs: 4 * 2080 + 12 * 160,
    smallest: 160 / 10_240,
  });
});

test('a budget that buys no single unit is refused with the smallest that does; others are not named', () => {
  // One neuron of 160 MACs of 10 240.
  assert.throws(() => modelCosts(modelConfig(), 10, budgets('0.5', '0.01', '0.015')), {
    code: 'budget_out_of_range',
    message: 'budget: got 0.01, 0.015, expected at least 0.0157, which keeps a single unit of this model',
  });
  assert.equal(modelCosts(modelConfig(), 10, budgets('0.015625')).neuronCost, 160);
});

test('multiples and uniform layers raise the smallest budget', () => {
  const multiple = { ...budgets('0.05'), search: 'knapsack' as const, neuronMultiple: 8 };
  // Of 6 neurons a layer all are the least multiple.
  assert.equal(modelCosts(modelConfig(), 10, { ...multiple, budgets: [] }).smallest, (6 * 160) / 10_240);
  const uniform = { ...budgets('0.5', '0.9'), search: 'uniform' as const };
  assert.throws(() => modelCosts(modelConfig(), 10, uniform), {
    code: 'budget_out_of_range',
    message: 'budget: got 0.5, expected at least 0.844, which keeps all heads and one neuron a layer',
  });
  assert.equal(modelCosts(modelConfig(), 10, { ...uniform, budgets: [] }).smallest, (4 * 2080 + 2 * 160) / 10_240);
  // A time is judged elsewhere.
  const latency = { ...uniform, budgets: [{ text: 'latency-0.5', value: 0.5, kind: 'latency' as const }] };
  assert.ok(modelCosts(modelConfig(), 10, latency));
});
