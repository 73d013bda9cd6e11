// What follows from a job's inputs alone.
import assert from 'node:assert/strict';
import test from 'node:test';
import { outputBytes } from '../../../coordinator/job/prune-inputs.ts';
import { parameterCount } from '../../../pruning/compact.ts';
import { modelConfig } from './configs.ts';

test('disk space: each model keeps its embeddings and head, and of the encoder what its budget says', () => {
  const half = { text: '0.5', value: 0.5 };
  const none = [0, 0];
  const config = modelConfig();
  const rest = parameterCount(config, { headsByLayer: none, neuronsByLayer: none });
  const checkpoint = { config, dtype: 'F16' as const, parameters: rest + 1e9 };
  const one = outputBytes({ budgets: [half], dtype: null, method: 'paper' }, checkpoint);
  const both = outputBytes({ budgets: [half, { text: '0.3', value: 0.3 }], dtype: null, method: 'paper' }, checkpoint);
  // Two bytes an element and 2 MB beside the weights.
  assert.equal(both - one, 2 * (rest + 0.3e9) + 2e6);
  const wide = outputBytes({ budgets: [half], dtype: 'F32', method: 'paper' }, checkpoint);
  assert.equal(wide - one, 2 * (rest + 0.5e9));
});

test('disk space: a gradual job keeps the projections of every student on the way, twice, and shares those of its budgets', () => {
  const config = modelConfig();
  let steps: 'grid' | 'one' = 'grid';
  let refit: 'weights' | 'scales' | 'by-share' = 'weights';
  const bytes = (method: 'paper' | 'gradual', ...values: number[]) => {
    const budgets = values.map((value) => ({ text: `${value}`, value }));
    return outputBytes(
      { budgets, dtype: null, method, gradual: { steps, refit } },
      { config, dtype: 'F32', parameters: 1e6 },
    );
  };
  const more = (...values: number[]) => bytes('gradual', ...values) - bytes('paper', ...values);
  // Two layers of 8 x 8 and 6 x 8 weights.
  const dense = 4 * 2 * (64 + 48);
  const near = (got: number, shares: number) => assert.ok(Math.abs(got - 2 * shares * dense) < 1e-6, `${got}`);
  near(more(0.5), 0.8 + 0.65 + 0.5);
  near(more(0.45), 0.8 + 0.65 + 0.5 + 0.45);
  near(more(0.5, 0.45, 0.8), 0.8 + 0.65 + 0.5 + 0.45);
  steps = 'one';
  near(more(0.5, 0.45), 0.5 + 0.45);
  refit = 'by-share';
  // Below 0.3 query, key and value and the FFN's first projection, too.
  near(more(0.5, 0.2), 0.5 + (0.2 * (4 * 64 + 2 * 48)) / (64 + 48));
  refit = 'scales';
  near(more(0.5, 0.45), 0);
});
