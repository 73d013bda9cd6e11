import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { assertFiniteWeights } from '../../../checkpoint/assert-finite.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../../../checkpoint/half-precision.ts';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { headActivation } from '../../../checkpoint/weight-names.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { decodeSafetensors } from '../../../shared/safetensors.ts';
import { elementCount, type NamedTensor } from '../../../shared/tensor.ts';
import {
  changeConfig,
  changeTensors,
  copyOfFixture,
  failure,
  fixture,
  openDuring,
  temporaryFolder,
} from './model-folders.ts';

const BERT = 'hf-bert-classification';

async function tensorsOf(folder: string): Promise<Map<string, NamedTensor>> {
  return decodeSafetensors(await readFile(join(folder, 'model.safetensors')), folder).tensors;
}

describe('openCheckpoint', () => {
  it('opens every fixture with the weights of its file, each used once', async (test) => {
    const names = (await readdir(join(projectRoot(), 'test', 'fixtures'))).filter((name) =>
      /^(hf|reference)-/.test(name),
    );
    assert.equal(names.length, 13);
    for (const name of names) {
      const checkpoint = await openDuring(test, fixture(name));
      const stored = await tensorsOf(fixture(name));
      assert.equal(checkpoint.weights.size, stored.size, name);
      let parameters = 0;
      for (const [canonical, { storedName }] of checkpoint.weights) {
        const { shape, data } = stored.get(storedName)!;
        assert.deepEqual(checkpoint.shape(canonical), shape);
        assert.deepEqual(await checkpoint.tensor(canonical), data);
        assert.deepEqual(checkpoint.tensorSync(canonical), data);
        const target = new Float32Array(elementCount(shape));
        assert.equal(checkpoint.tensorSync(canonical, target), target);
        assert.deepEqual(target, data);
        parameters += elementCount(shape);
      }
      assert.equal(checkpoint.parameters, parameters);
      assert.equal(checkpoint.dtype, 'F32');
      await assertFiniteWeights(checkpoint);
    }
  });

  for (const [name, dense, activation, output] of [
    [BERT, 'bert.pooler.dense.weight', 'tanh', 'classifier.weight'],
    ['hf-distilbert-classification', 'pre_classifier.weight', 'relu', 'classifier.weight'],
    ['hf-roberta-classification', 'classifier.dense.weight', 'tanh', 'classifier.out_proj.weight'],
    ['hf-xlm-roberta-classification', 'classifier.dense.weight', 'tanh', 'classifier.out_proj.weight'],
    ['hf-bert-question-answering', undefined, 'tanh', 'qa_outputs.weight'],
    ['hf-distilbert-question-answering', undefined, 'relu', 'qa_outputs.weight'],
    ['hf-roberta-question-answering', undefined, 'tanh', 'qa_outputs.weight'],
  ])
    it(`finds the head of ${name}`, async (test) => {
      const checkpoint = await openDuring(test, fixture(name!));
      assert.equal(checkpoint.weights.get('head.dense.weight')?.storedName, dense);
      assert.equal(checkpoint.weights.get('head.output.weight')?.storedName, output);
      assert.equal(headActivation(checkpoint.config), activation);
    });

  it('opens token classification, where BERT and RoBERTa have one linear layer', async (test) => {
    for (const [name, architecture] of [
      ['hf-bert-question-answering', 'BertForTokenClassification'],
      ['hf-distilbert-question-answering', 'DistilBertForTokenClassification'],
      ['hf-roberta-question-answering', 'RobertaForTokenClassification'],
    ]) {
      const folder = await copyOfFixture(test, name);
      await changeConfig(folder, { architectures: [architecture] });
      await changeTensors(folder, (tensors) =>
        [...tensors.values()].map((tensor) => ({ ...tensor, name: tensor.name.replace('qa_outputs', 'classifier') })),
      );
      const checkpoint = await openDuring(test, folder);
      assert.equal(checkpoint.config.task, 'token-classification');
      assert.deepEqual(checkpoint.shape('head.output.weight'), [2, 24]);
      assert.throws(() => checkpoint.shape('head.dense.weight'), failure('internal', 'head.dense.weight'));
    }
  });

  it('ignores position buffers and a pooler that no head reads', async (test) => {
    const folder = await copyOfFixture(test, 'hf-roberta-classification');
    const buffer = {
      name: 'roberta.embeddings.position_ids',
      dtype: 'I64',
      shape: [1, 34],
      data: new BigInt64Array(34),
    };
    const pooler = { dtype: 'F32', shape: [24, 24], data: new Float32Array(576) };
    await changeTensors(folder, (tensors) => [
      ...tensors.values(),
      buffer as NamedTensor,
      { ...pooler, name: 'roberta.pooler.dense.weight' } as NamedTensor,
    ]);
    const checkpoint = await openDuring(test, folder);
    assert.equal(checkpoint.parameters, (await openDuring(test, fixture('hf-roberta-classification'))).parameters);
  });

  for (const [dtype, narrow] of [
    ['F16', float32ToFloat16],
    ['BF16', float32ToBfloat16],
  ] as const)
    it(`reads ${dtype} matrices beside float32 biases`, async (test) => {
      const folder = await copyOfFixture(test, BERT);
      await changeTensors(folder, (tensors) =>
        [...tensors.values()].map(
          (tensor): NamedTensor =>
            tensor.shape.length === 2 ? { ...tensor, dtype, data: narrow(tensor.data as Float32Array).bits } : tensor,
        ),
      );
      const [checkpoint, original] = [await openDuring(test, folder), await openDuring(test, fixture(BERT))];
      assert.equal(checkpoint.dtype, dtype);
      const relativeError = dtype === 'F16' ? 2 ** -11 : 2 ** -8; // half a unit in the last place
      const expected = await original.tensor('layers.1.ffn_in.weight');
      (await checkpoint.tensor('layers.1.ffn_in.weight')).forEach((value, i) => {
        assert.ok(Math.abs(value - expected[i]) <= Math.abs(expected[i]) * relativeError + 2 ** -25);
      });
      await assertFiniteWeights(checkpoint);
    });

  const missing: [string, (folder: string) => Promise<unknown>, string][] = [
    ['a folder', (folder) => rm(folder, { recursive: true }), 'got nothing, expected a folder'],
    ['config.json', (folder) => rm(join(folder, 'config.json')), 'config.json: no such file'],
    ['weights', (folder) => rm(join(folder, 'model.safetensors')), 'got no weights, expected model.safetensors or'],
  ];
  for (const [what, spoil, text] of missing)
    it(`says when there is no ${what}`, async (test) => {
      const folder = await copyOfFixture(test, BERT);
      await spoil(folder);
      await assert.rejects(openCheckpoint(folder), failure('model_not_found', text));
    });

  it('names a model inside a folder that is none', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    const outer = await temporaryFolder(test);
    await mkdir(join(outer, '.state'));
    await mkdir(join(outer, '0.4'));
    await rename(folder, join(outer, '0.5'));
    await assert.rejects(openCheckpoint(outer), (error: { action: string }) => {
      assert.equal(error.action, `the models are in its folders: give ${join(outer, '0.5')}`);
      return failure('model_not_found', `${outer}/config.json: no such file`)(error);
    });
  });

  it('says when the folder is a file', async () => {
    const path = join(fixture(BERT), 'config.json');
    await assert.rejects(openCheckpoint(path), failure('model_not_found', 'got a file, expected a folder'));
  });

  it('says how to convert a PyTorch pickle', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    await rename(join(folder, 'model.safetensors'), join(folder, 'pytorch_model.bin'));
    await assert.rejects(openCheckpoint(folder), (error: { action: string }) => {
      assert.match(error.action, /python -c 'from transformers import BertForSequenceClassification as M; M\.from_/);
      return failure('model_unsupported', 'got pytorch_model.bin, expected model.safetensors')(error);
    });
  });

  it('says when a file is cut short', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    await truncate(join(folder, 'model.safetensors'), 50_000);
    await assert.rejects(
      openCheckpoint(folder),
      failure('model_format', 'model.safetensors: ', 'the file is cut short'),
    );
  });

  const spoiled: [
    string,
    (folder: string) => Promise<void>,
    'weights_mismatch' | 'shape_mismatch' | 'model_unsupported',
    string[],
  ][] = [
    [
      'a config with another FFN size',
      (folder) => changeConfig(folder, { intermediate_size: 999 }),
      'shape_mismatch',
      [
        'bert.encoder.layer.0.intermediate.dense.weight: got [40,24], expected [999,24]',
        'bert.encoder.layer.0.output.dense.weight: got [24,40], expected [24,999]',
        'and 1 more',
      ],
    ],
    [
      'a config with more layers',
      (folder) => changeConfig(folder, { num_hidden_layers: 3 }),
      'weights_mismatch',
      ['got no bert.encoder.layer.2.attention.self.query.weight', 'and 11 more'],
    ],
    [
      'a config with fewer layers',
      (folder) => changeConfig(folder, { num_hidden_layers: 1 }),
      'weights_mismatch',
      ['got unexpected bert.encoder.layer.1.', 'and 11 more'],
    ],
    [
      'a head for pretraining',
      (folder) =>
        changeTensors(folder, (tensors) => [
          ...tensors.values(),
          { name: 'cls.predictions.bias', dtype: 'F32', shape: [61], data: new Float32Array(61) },
        ]),
      'weights_mismatch',
      ['got unexpected cls.predictions.bias'],
    ],
    [
      'weights of a type that holds no weights',
      (folder) =>
        changeTensors(folder, (tensors) =>
          [...tensors.values()].map(
            (tensor): NamedTensor =>
              tensor.name === 'classifier.bias' ? { ...tensor, dtype: 'F64', data: new Float64Array(3) } : tensor,
          ),
        ),
      'model_unsupported',
      ['classifier.bias: got F64, expected F32, F16 or BF16'],
    ],
  ];
  for (const [what, spoil, code, texts] of spoiled)
    it(`refuses ${what}`, async (test) => {
      const folder = await copyOfFixture(test, BERT);
      await spoil(folder);
      await assert.rejects(openCheckpoint(folder), failure(code, ...texts));
    });
});

it('closes its files when a model is refused', { skip: process.platform !== 'linux' }, async (test) => {
  const parent = await temporaryFolder(test);
  const folder = join(parent, 'model');
  await mkdir(folder);
  for (const name of ['config.json', 'model.safetensors'])
    await writeFile(join(folder, name), await readFile(join(fixture(BERT), name)));
  await changeConfig(folder, { intermediate_size: 999 });
  const openFiles = async () => (await readdir('/proc/self/fd')).length;
  const before = await openFiles();
  for (let i = 0; i < 5; i++) await assert.rejects(openCheckpoint(folder));
  assert.equal(await openFiles(), before);
});
