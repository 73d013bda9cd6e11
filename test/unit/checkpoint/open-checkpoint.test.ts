import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { assertFiniteWeights } from '../../../checkpoint/assert-finite.ts';
import { digestCheckpoint } from '../../../checkpoint/digest-checkpoint.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../../../checkpoint/half-precision.ts';
import { inspectCheckpoint } from '../../../checkpoint/inspect.ts';
import { openCheckpoint, openCheckpointFiles } from '../../../checkpoint/open-checkpoint.ts';
import { headActivation } from '../../../checkpoint/weight-names.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';
import { elementCount, type NamedTensor } from '../../../shared/tensor.ts';
import {
  changeConfig,
  changeTensors,
  copyOfFixture,
  failure,
  fixture,
  readJson,
  temporaryFolder,
} from './model-folders.ts';

const BERT = 'hf-bert-classification';

async function open(test: TestContext, folder: string) {
  const checkpoint = await openCheckpoint(folder);
  test.after(() => checkpoint.close());
  return checkpoint;
}

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

describe('openCheckpoint', () => {
  it('opens every fixture with the weights of its file, each used once', async (test) => {
    const names = (await readdir(join(projectRoot(), 'test', 'fixtures'))).filter((name) =>
      /^(hf|reference)-/.test(name),
    );
    assert.equal(names.length, 13);
    for (const name of names) {
      const checkpoint = await open(test, fixture(name));
      const stored = await tensorsOf(fixture(name));
      assert.equal(checkpoint.weights.size, stored.size, name);
      let parameters = 0;
      for (const [canonical, { storedName }] of checkpoint.weights) {
        const { shape, data } = stored.get(storedName)!;
        assert.deepEqual(checkpoint.shape(canonical), shape);
        assert.deepEqual(await checkpoint.tensor(canonical), data);
        assert.deepEqual(checkpoint.tensorSync(canonical), data);
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
      const checkpoint = await open(test, fixture(name!));
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
      const checkpoint = await open(test, folder);
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
    const checkpoint = await open(test, folder);
    assert.equal(checkpoint.parameters, (await open(test, fixture('hf-roberta-classification'))).parameters);
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
      const [checkpoint, original] = [await open(test, folder), await open(test, fixture(BERT))];
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

describe('shards', () => {
  async function halves(test: TestContext) {
    const folder = await copyOfFixture(test, BERT);
    const tensors = [...(await tensorsOf(folder)).values()];
    return { folder, tensors, first: tensors.slice(0, 10), second: tensors.slice(10) };
  }

  it('opens as one model, and on a worker under meaningless names', async (test) => {
    const { folder, first, second } = await halves(test);
    await shard(folder, { 'model-1-of-2.safetensors': first, 'model-2-of-2.safetensors': second });
    const [whole, sharded] = [await open(test, fixture(BERT)), await open(test, folder)];
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
        const checkpoint = await open(test, folder);
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
    const checkpoint = await open(test, folder);
    await assert.rejects(assertFiniteWeights(checkpoint), failure('not_finite', 'got NaN at index 1100000'));
  });
});

describe('inspectCheckpoint', () => {
  it('describes a model', async (test) => {
    const checkpoint = await open(test, fixture('hf-roberta-classification'));
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
    const first = await digestCheckpoint(await open(test, fixture(BERT)));
    assert.deepEqual(await digestCheckpoint(await open(test, folder)), first);
    await changeTensors(folder, (tensors) => tensors.values());
    const copied = await digestCheckpoint(await open(test, folder)); // other metadata, so another file
    assert.notEqual(copied.digest, first.digest);
    await changeConfig(folder, await readJson(join(folder, 'config.json')));
    const rewritten = await digestCheckpoint(await open(test, folder));
    assert.deepEqual(rewritten.files, copied.files);
    assert.notEqual(rewritten.digest, copied.digest);
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
