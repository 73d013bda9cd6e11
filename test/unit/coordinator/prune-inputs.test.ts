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
  const one = outputBytes({ budgets: [half], dtype: null }, checkpoint);
  const both = outputBytes({ budgets: [half, { text: '0.3', value: 0.3 }], dtype: null }, checkpoint);
  // Two bytes an element and 2 MB beside the weights.
  assert.equal(both - one, 2 * (rest + 0.3e9) + 2e6);
  const wide = outputBytes({ budgets: [half], dtype: 'F32' }, checkpoint);
  assert.equal(wide - one, 2 * (rest + 0.5e9));
});
