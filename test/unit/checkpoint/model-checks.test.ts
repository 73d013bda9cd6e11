import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertFiniteWeights } from '../../../checkpoint/assert-finite.ts';
import { digestCheckpoint } from '../../../checkpoint/digest-checkpoint.ts';
import { inspectCheckpoint } from '../../../checkpoint/inspect.ts';
import { changeConfig, changeTensors, copyOfFixture, failure, fixture, openDuring, readJson } from './model-folders.ts';

const BERT = 'hf-bert-classification';

describe('assertFiniteWeights', () => {
  const raw = { F32: [0x7f800000, 0x7fc00000], F16: [0x7c00, 0xfe00], BF16: [0xff80, 0x7f81] } as const;
  for (const dtype of ['F32', 'F16', 'BF16'] as const)
    for (const [kind, bits] of raw[dtype].entries())
      it(`finds ${kind === 0 ? 'an infinity' : 'NaN'} in ${dtype}`, async (test) => {
        const folder = await copyOfFixture(test, BERT);
        const data = dtype === 'F32' ? new Float32Array(40) : new Uint16Array(40);
        const view = dtype === 'F32' ? new Uint32Array(data.buffer) : data;
        view[39] = bits;
        await changeTensors(folder, (tensors) => {
          const name = 'bert.encoder.layer.1.intermediate.dense.bias';
          return tensors.set(name, { name, dtype, shape: [40], data }).values();
        });
        const checkpoint = await openDuring(test, folder);
        const value = kind === 1 ? 'NaN' : dtype === 'BF16' ? '-Infinity' : 'Infinity';
        const text = `bert.encoder.layer.1.intermediate.dense.bias: got ${value} at index 39, expected finite numbers`;
        await assert.rejects(assertFiniteWeights(checkpoint), failure('not_finite', text));
      });

  it('gives the index within the tensor past the first piece that is read', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    const rows = 50_000; // 50000 x 24 float32 are 4.8 MB, over one piece of 4 MiB
    await changeConfig(folder, { vocab_size: rows });
    const data = new Float32Array(rows * 24);
    data[1_100_000] = NaN;
    await changeTensors(folder, (tensors) => {
      const name = 'bert.embeddings.word_embeddings.weight';
      return tensors.set(name, { name, dtype: 'F32', shape: [rows, 24], data }).values();
    });
    const checkpoint = await openDuring(test, folder);
    await assert.rejects(assertFiniteWeights(checkpoint), failure('not_finite', 'got NaN at index 1100000'));
  });
});

describe('inspectCheckpoint', () => {
  it('describes a model', async (test) => {
    const checkpoint = await openDuring(test, fixture('hf-roberta-classification'));
    assert.deepEqual(inspectCheckpoint(checkpoint), {
      type: 'roberta',
      task: 'single-label-classification',
      layers: 2,
      hiddenSize: 24,
      headsByLayer: [3, 3],
      neuronsByLayer: [40, 40],
      pruned: false,
      parameters: 11_987,
      bytes: 52_380,
      dtype: 'F32',
      labels: ['LABEL_0', 'LABEL_1', 'LABEL_2'],
      maxTokens: 32,
    });
  });
});

describe('digestCheckpoint', () => {
  it('changes with the config and with the weights, not with the place', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    const first = await digestCheckpoint(await openDuring(test, fixture(BERT)));
    assert.deepEqual(await digestCheckpoint(await openDuring(test, folder)), first);
    await changeTensors(folder, (tensors) => tensors.values());
    const copied = await digestCheckpoint(await openDuring(test, folder)); // other metadata, so another file
    assert.notEqual(copied.digest, first.digest);
    await changeConfig(folder, await readJson(join(folder, 'config.json')));
    const rewritten = await digestCheckpoint(await openDuring(test, folder));
    assert.deepEqual(rewritten.files, copied.files);
    assert.notEqual(rewritten.digest, copied.digest);
  });
});
