// A pruned model whose projections were refitted: written as the same bytes as a dense model that has them already.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import type { Patch } from '../../../pruning/patch.ts';
import { randomPatches, writeWithPatches } from '../../support/random-patches.ts';
import { failure, fixture, openDuring, readJson, temporaryFolder } from './model-folders.ts';

const BERT = 'hf-bert-classification';

/** Of layer 0 heads 0 and 2 and every third neuron; of layer 1 one head and no neuron. */
function exampleMasks(): Masks {
  const masks = denseMasks(2, 3, 40);
  masks.headMask.set([1, 0, 1, 0, 1, 0]);
  masks.neuronMask.forEach((_, i) => {
    masks.neuronMask[i] = Number(i < 40 && i % 3 === 0);
  });
  return masks;
}

/** All heads and sixteen neurons in each layer. */
function uniformMasks(): Masks {
  const masks = denseMasks(2, 3, 40);
  masks.neuronMask.forEach((_, i) => {
    masks.neuronMask[i] = Number((i < 40 ? i : 79 - i) < 16);
  });
  return masks;
}

describe('writePrunedCheckpoint with patches', () => {
  for (const name of [BERT, 'hf-distilbert-question-answering', 'hf-roberta-classification'])
    for (const [layout, masks] of [
      ['espalier', exampleMasks()],
      ['stock', uniformMasks()],
    ] as const)
      it(`${name}, layout ${layout}: the weights and config of a dense model that has them, and says so in masks.json`, async (test) => {
        const source = await openDuring(test, fixture(name));
        // Scales multiply a patch as they do the model's own.
        const scaled = { ...masks, neuronScales: masks.neuronScales.map((_, i) => 1 + i / 7) };
        for (const [dtype, own] of [
          ['F32', masks],
          ['BF16', masks],
          ['F32', scaled],
        ] as const) {
          const patches = randomPatches(source, own);
          const root = await temporaryFolder(test);
          const at = (folder: string) => join(root, folder);
          await writePrunedCheckpoint(source, own, dtype, at('patched'), layout, patches);
          await writeWithPatches(fixture(name), patches, at('dense'));
          const dense = await openCheckpoint(at('dense'));
          await writePrunedCheckpoint(dense, own, dtype, at('expected'), layout);
          await writePrunedCheckpoint(source, own, dtype, at('plain'), layout);
          await dense.close();
          for (const file of ['model.safetensors', 'config.json'])
            assert.ok((await readFile(join(at('patched'), file))).equals(await readFile(join(at('expected'), file))));
          const weights = 'model.safetensors';
          assert.ok(!(await readFile(join(at('patched'), weights))).equals(await readFile(join(at('plain'), weights))));
          assert.deepEqual(await readJson(join(at('patched'), 'masks.json')), {
            ...(await readJson(join(at('plain'), 'masks.json'))),
            refitted: { attention: [1], ffn: [0, 1] },
            refitted_inputs: { attention: [1], ffn: [0, 1] },
          });
        }
      });

  it('stores rows of the patch as columns', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const masks = exampleMasks();
    const patches = randomPatches(source, masks);
    const folder = await temporaryFolder(test);
    await writePrunedCheckpoint(source, masks, 'F32', folder, 'espalier', patches);
    const written = await openDuring(test, folder);
    const { weight, bias, kept } = patches.find(({ layer, subLayer }) => layer === 0 && subLayer === 'ffn')!;
    assert.deepEqual([...kept.subarray(0, 3)], [0, 1, 3], 'neuron 1 was pruned since');
    const stored = await written.tensor('layers.0.ffn_out.weight');
    const columns = stored.length / 24;
    assert.equal(columns, 14);
    // Neuron 3 is the second that is kept and the third that the patch has.
    assert.equal(stored[5 * columns + 1], weight[2 * 24 + 5]);
    assert.deepEqual(await written.tensor('layers.0.ffn_out.bias'), bias);
    const inputs = patches.find(({ layer, part }) => layer === 0 && part === 'input')!;
    const rows = await written.tensor('layers.0.ffn_in.weight');
    assert.deepEqual(rows.subarray(24, 48), inputs.weight.subarray(2 * 24, 3 * 24), 'rows of its inputs stay rows');
    assert.equal((await written.tensor('layers.0.ffn_in.bias'))[1], inputs.bias[2]);
    const values = patches.find(({ subLayer, part }) => subLayer === 'attention' && part === 'input')!;
    // Head 1 is the second that the patch has of head size 8; values come after queries and keys.
    assert.deepEqual([...values.kept], [0, 1]);
    assert.deepEqual(await written.tensor('layers.1.value.bias'), values.bias.slice(2 * 16 + 8));
    assert.deepEqual(await written.tensor('layers.1.key.weight'), values.weight.slice((16 + 8) * 24, (16 + 16) * 24));
    // Where nothing is kept the bias alone is left.
    assert.deepEqual(written.shape('layers.1.ffn_out.weight'), [24, 0]);
    assert.deepEqual(await written.tensor('layers.1.ffn_out.bias'), patches[2].bias);
  });

  it('refuses patches of another model, two of one sub-layer, masks that keep more, and numbers that are not finite', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const masks = exampleMasks();
    const [ffn] = randomPatches(source, masks);
    const root = await temporaryFolder(test);
    const folder = join(root, 'written');
    const refused = (patches: readonly Patch[], code: 'shape_mismatch' | 'protocol' | 'not_finite', text: string) =>
      assert.rejects(writePrunedCheckpoint(source, masks, 'F16', folder, 'espalier', patches), failure(code, text));
    await refused([{ ...ffn, layer: 2 }], 'shape_mismatch', 'patch of layer 2 ffn: got layer 2, expected one of 2');
    await refused([ffn, ffn], 'shape_mismatch', 'patch of layer 0 ffn: got two, expected one');
    await refused(
      [{ ...ffn, part: 'input' }],
      'shape_mismatch',
      `patch of layer 0 ffn input: got [weight,bias] of [${15 * 24},24] numbers, expected [${15 * 24},15]`,
    );
    await refused(
      [{ ...ffn, bias: ffn.bias.subarray(1) }],
      'shape_mismatch',
      `patch of layer 0 ffn: got [weight,bias] of [${15 * 24},23] numbers, expected [${15 * 24},24]`,
    );
    const fewer = { ...ffn, kept: ffn.kept.subarray(0, 2), weight: ffn.weight.subarray(0, 2 * 24) };
    await refused([fewer], 'protocol', 'patch of layer 0 ffn: got masks that keep 3, expected one of the 2');
    assert.deepEqual(await readdir(root), []);
    await refused(
      [{ ...ffn, bias: ffn.bias.map((value, d) => (d === 4 ? Number.NaN : value)) }],
      'not_finite',
      'bert.encoder.layer.0.output.dense.bias: got NaN at index 4',
    );
    await refused(
      [{ ...ffn, weight: ffn.weight.map(() => 1e6) }],
      'not_finite',
      'bert.encoder.layer.0.output.dense.weight: got 1000000 at index 0, which float16 cannot hold',
    );
    assert.deepEqual(await readdir(folder), []);
  });
});
