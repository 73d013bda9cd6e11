// What a budget means for a model, and the smallest that there is.
import assert from 'node:assert/strict';
import test from 'node:test';
import { modelCosts } from '../../../coordinator/job/budget.ts';
import { modelConfig } from './configs.ts';

const budgets = (...texts: string[]) => texts.map((text) => ({ text, value: Number(text) }));

test('costs of a head, a neuron and the whole encoder', () => {
  // D = 8, d = 4, 10 tokens: 4·10·8·4 + 2·10²·4, 2·10·8, and 4 heads with 12 neurons.
  assert.deepEqual(modelCosts(modelConfig(), 10, budgets('0.5')), {
    tokens: 10,
    headCost: 2080,
    neuronCost: 160,
    totalMacs: 4 * 2080 + 12 * 160,
  });
});

test('a budget that buys no single unit is refused with the smallest that does; others are not named', () => {
  // One neuron of 160 MACs of 10 240.
  assert.throws(() => modelCosts(modelConfig(), 10, budgets('0.5', '0.01', '0.015')), {
    code: 'budget_out_of_range',
    message: 'budget: got 0.01, 0.015, expected at least 0.0156, which keeps a single unit of this model',
  });
  assert.equal(modelCosts(modelConfig(), 10, budgets('0.015625')).neuronCost, 160);
});
