// What plans for a GPU are cut by, against its allocator: layers of BERT-base, micro-batches as plans have them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureTokens } from '../integration/engine/measured-memory.ts';
import { chooseEngine } from '../support/engine-under-test.ts';
import { requireGpu, testedDevice } from './require-gpu.ts';

const MODEL = { layers: 4, hiddenSize: 768, heads: 12, neurons: 3072, head: 'QuestionAnswering' } as const;
const SHAPES = {
  cpu: [{ count: 4, tokens: 64 }],
  gpu: [
    { count: 128, tokens: 64 },
    { count: 40, tokens: 384 },
  ],
};

chooseEngine({ device: testedDevice(), kernels: null, products: 'float32' });
requireGpu();

test('a padded token takes no more than is said', async (t) => {
  const found = await measureTokens(t, MODEL, SHAPES[testedDevice()]);
  assert.ok(found.length > 1);
  for (const { text, taken, said } of found) {
    t.diagnostic(text);
    assert.ok(taken <= said, text);
  }
});
