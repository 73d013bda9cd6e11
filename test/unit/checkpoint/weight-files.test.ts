import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { digestCheckpoint } from '../../../checkpoint/digest-checkpoint.ts';
import { openCheckpoint, openCheckpointFiles } from '../../../checkpoint/open-checkpoint.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { copyOfFixture, failure, fixture, openDuring } from './model-folders.ts';

const BERT = 'hf-bert-classification';

async function tensorsOf(folder: string): Promise<Map<string, NamedTensor>> {
  return decodeSafetensors(await readFile(join(folder, 'model.safetensors')), folder).tensors;
}

/** Replaces the weights of a folder by shards of the tensors and an index. */
async function shard(folder: string, shards: Record<string, NamedTensor[]>, weightMap?: Record<string, string>) {
  await rm(join(folder, 'model.safetensors'));
  const found: Record<string, string> = {};
  for (const [file, tensors] of Object.entries(shards)) {
    await writeFile(join(folder, file), encodeSafetensors(tensors));
    for (const { name } of tensors) found[name] = file;
  }
  const index = JSON.stringify({ metadata: {}, weight_map: weightMap ?? found });
  await writeFile(join(folder, 'model.safetensors.index.json'), index);
}

describe('shards', () => {
  async function halves(test: TestContext) {
    const folder = await copyOfFixture(test, BERT);
    const tensors = [...(await tensorsOf(folder)).values()];
    return { folder, tensors, first: tensors.slice(0, 10), second: tensors.slice(10) };
  }

  it('opens as one model, and on a worker under meaningless names', async (test) => {
    const { folder, first, second } = await halves(test);
    await shard(folder, { 'model-1-of-2.safetensors': first, 'model-2-of-2.safetensors': second });
    const [whole, sharded] = [await openDuring(test, fixture(BERT)), await openDuring(test, folder)];
    const configText = await readFile(join(folder, 'config.json'), 'utf8');
    const files = ['model-1-of-2.safetensors', 'model-2-of-2.safetensors'];
    assert.deepEqual(
      sharded.weightFiles.map(({ name }) => name),
      files,
    );
    const blobs = files.map((name, i) => ({ path: join(folder, name), label: `blob ${i}` }));
    const worker = await openCheckpointFiles(configText, blobs, 'model abc');
    test.after(() => worker.close());
    for (const name of whole.weights.keys()) {
      assert.deepEqual(await sharded.tensor(name), await whole.tensor(name));
      assert.deepEqual(await worker.tensor(name), await whole.tensor(name));
    }
    assert.equal((await digestCheckpoint(worker)).digest, (await digestCheckpoint(sharded)).digest);
    assert.notEqual((await digestCheckpoint(whole)).digest, (await digestCheckpoint(sharded)).digest);
  });

  it('refuses an index that disagrees with its files', async (test) => {
    const { folder, tensors, first, second } = await halves(test);
    const map = Object.fromEntries(tensors.map(({ name }, i) => [name, i < 10 ? 'a.safetensors' : 'b.safetensors']));
    await shard(
      folder,
      { 'a.safetensors': first, 'b.safetensors': second },
      { ...map, [tensors[0].name]: 'b.safetensors' },
    );
    await assert.rejects(
      openCheckpoint(folder),
      failure('weights_mismatch', `${tensors[0].name}: got b.safetensors, expected a.safetensors`),
    );
    const index = join(folder, 'model.safetensors.index.json');
    await writeFile(index, JSON.stringify({ weight_map: { ...map, ghost: 'a.safetensors' } }));
    await assert.rejects(
      openCheckpoint(folder),
      failure('weights_mismatch', 'ghost: got a.safetensors, which does not hold it'),
    );
    await writeFile(index, JSON.stringify({ weight_map: { ...map, x: 'c.safetensors' } }));
    await assert.rejects(openCheckpoint(folder), failure('model_not_found', 'c.safetensors: no such file'));
  });

  it('refuses a tensor that two files hold', async (test) => {
    const { folder, tensors, first } = await halves(test);
    await shard(folder, { 'a.safetensors': first, 'b.safetensors': tensors });
    const files = ['a', 'b'].map((label) => ({ path: join(folder, `${label}.safetensors`), label }));
    const configText = await readFile(join(folder, 'config.json'), 'utf8');
    await assert.rejects(
      openCheckpointFiles(configText, files, 'm'),
      failure('weights_mismatch', 'b: ', 'got a tensor that another file holds too'),
    );
  });

  for (const name of ['../a.safetensors', '/a.safetensors', 'x\\a.safetensors', 'a.bin', '', 3])
    it(`refuses the file name ${JSON.stringify(name)} in an index`, async (test) => {
      const { folder, tensors } = await halves(test);
      await shard(folder, {}, { [tensors[0].name]: name as string });
      await assert.rejects(
        openCheckpoint(folder),
        failure('model_format', `got ${JSON.stringify(name)}, expected a plain name`),
      );
    });

  it('refuses an index without a map', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    await rm(join(folder, 'model.safetensors'));
    const index = join(folder, 'model.safetensors.index.json');
    await writeFile(index, 'null');
    await assert.rejects(openCheckpoint(folder), failure('model_format', 'weight_map: got none'));
    await writeFile(index, '{');
    await assert.rejects(openCheckpoint(folder), failure('model_format', 'index.json: got no JSON'));
  });
});
