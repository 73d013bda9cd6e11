// Patches come out of their blobs as they went in; a blob of another model is refused by its place.
import assert from 'node:assert/strict';
import test from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { readPatches } from '../../../coordinator/job/read-patches.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { patchToTensors } from '../../../pruning/patch.ts';
import { blobOfBytes, blobOfParts } from '../../../shared/blobs/blob-source.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import { randomPatches } from '../../support/random-patches.ts';
import { fixture } from '../checkpoint/model-folders.ts';

test('every patch in its order, also from a blob of several parts', async () => {
  const source = await openCheckpoint(fixture('hf-bert-classification'));
  const { config } = source;
  await source.close();
  const patches = randomPatches({ config }, denseMasks(2, 3, 40));
  const blobs = patches.map((patch) => {
    const bytes = encodeSafetensors(patchToTensors(patch));
    const parts = [bytes.subarray(0, 100), bytes.subarray(100, 101), bytes.subarray(101)];
    return { layer: patch.layer, subLayer: patch.subLayer, part: patch.part, source: blobOfParts(parts) };
  });
  assert.deepEqual(await readPatches(blobs, config), patches);
  await assert.rejects(readPatches([{ ...blobs[0], subLayer: 'attention' }], config), {
    code: 'protocol',
    message: /^patch of layer 0 attention: got tensors of another form/,
  });
  const cut = blobOfBytes(new Uint8Array(100));
  await assert.rejects(readPatches([{ ...blobs[0], source: cut }], config), {
    code: 'model_format',
    message: /^patch of layer 0 ffn: /,
  });
});
