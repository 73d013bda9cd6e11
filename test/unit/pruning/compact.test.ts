import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { weightSpecs } from '../../../checkpoint/weight-names.ts';
import { keptCounts, parameterCount, prunedParameters } from '../../../pruning/compact.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { elementCount } from '../../../shared/tensor.ts';

const fixtures = join(projectRoot(), 'test/fixtures');

test('counts and parameters are those of the checkpoint, dense and pruned, for every architecture and task', async () => {
  const names = readdirSync(fixtures).filter((name) => /^(hf|reference)-/.test(name));
  assert.ok(names.length >= 13);
  for (const name of names) {
    const checkpoint = await openCheckpoint(join(fixtures, name));
    const { config } = checkpoint;
    await checkpoint.close();
    assert.equal(parameterCount(config), checkpoint.parameters, name);

    const masks = denseMasks(config.layers, config.heads, config.intermediateSize);
    masks.headMask.fill(0, 0, config.heads);
    masks.neuronMask.fill(0, 3, 10);
    const { headsByLayer, neuronsByLayer, heads, neurons } = keptCounts(masks);
    assert.deepEqual(headsByLayer, config.headsByLayer.with(0, 0));
    assert.deepEqual(neuronsByLayer, config.neuronsByLayer.with(0, config.intermediateSize - 7));
    assert.equal(heads, config.heads * (config.layers - 1));
    assert.equal(neurons, config.intermediateSize * config.layers - 7);
    const specs = weightSpecs({ ...config, headsByLayer, neuronsByLayer });
    const expected = specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    assert.equal(prunedParameters(config, masks), expected, name);
  }
});
