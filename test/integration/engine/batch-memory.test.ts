// What plans are cut by, against the most that TensorFlow's allocator had in use: no less, and not far more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureTokens } from './measured-memory.ts';

const MODEL = { layers: 3, hiddenSize: 128, heads: 4, neurons: 512, head: 'QuestionAnswering' } as const;
const SHAPES = [
  { count: 16, tokens: 32 },
  { count: 6, tokens: 256 },
];

test('a padded token takes no more than is said, for gradients more than half of it', async (t) => {
  const found = await measureTokens(t, MODEL, SHAPES);
  assert.ok(found.some(({ pass }) => pass === 'gradients'));
  for (const { text, pass, taken, said } of found) {
    t.diagnostic(text);
    assert.ok(taken <= said, text);
    if (pass === 'gradients') assert.ok(taken > said / 2, text);
  }
});
