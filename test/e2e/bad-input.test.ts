// Mistakes in models, data and flags: each ends quickly with one clear line and its exit code, and writes nothing.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import type { ErrorCode } from '../../shared/errors.ts';
import { decodeSafetensors, encodeSafetensors } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { assertFailed, assertNothingWritten, family, noneLeft, openWorkspace, readJson } from '../support/run-cli.ts';
import { ENTITY_LABELS, type ToyRow, toyRows, writeRows } from '../support/toy-data.ts';
import { type ToyModel, writeToyModel } from '../support/toy-model.ts';

/** Every failure comes before any work starts; most take a third of a second on an idle machine. */
const QUICK_SECONDS = 5;

interface Mistake {
  readonly code: ErrorCode;
  /** Parts of the line: what was got, what was expected, what to do. */
  readonly texts: readonly string[];
  /** Spoils a copy of the model. */
  readonly model?: (folder: string) => Promise<unknown>;
  readonly rows?: readonly ToyRow[];
  /** Replaces the data file; by its name and content. */
  readonly data?: readonly [name: string, content: string | Buffer];
  readonly toy?: ToyModel;
  /** Flags after the usual ones. */
  readonly flags?: (folder: string) => readonly string[];
  /** Flags left out. */
  readonly without?: readonly string[];
  readonly modelFolder?: string;
}

const workspace = await openWorkspace();
const LABELS = ['wilted', 'green'];
const GOOD = toyRows('named', { count: 20, labels: LABELS });
const QUERY = 'bert.encoder.layer.1.attention.self.query.weight';

before(() => mkdir(workspace.path('mistakes')));

async function expectMistake(name: string, mistake: Mistake): Promise<void> {
  const folder = workspace.path('mistakes', name.replaceAll(/\W+/g, '-'));
  const model = await writeToyModel(path.join(folder, 'model'), { labels: LABELS, ...mistake.toy });
  await mistake.model?.(model);
  const [dataName, content] = mistake.data ?? ['data.jsonl', null];
  const data = path.join(folder, dataName);
  if (content === null) await writeRows(data, mistake.rows ?? GOOD);
  else await writeFile(data, content);
  const out = path.join(folder, 'out');
  const usual = { data, budget: '0.5', out, workers: '1' };
  const words = Object.entries(usual)
    .filter(([flag]) => !mistake.without?.includes(flag))
    .flatMap(([flag, value]) => [`--${flag}`, value]);
  const modelWord = mistake.modelFolder === undefined ? model : path.join(folder, mistake.modelFolder);
  const run = workspace.start(['prune', modelWord, ...words, ...(mistake.flags?.(folder) ?? [])]);
  const members = family(run);
  const finished = await run.finished;
  assertFailed(finished, mistake.code, ...mistake.texts.map((text) => text.replaceAll('DIR', folder)));
  assert.ok(finished.seconds < QUICK_SECONDS, `took ${finished.seconds} s`);
  assertNothingWritten(out);
  await noneLeft(members);
}

function describeMistakes(subject: string, mistakes: Readonly<Record<string, Mistake>>): void {
  describe(subject, () => {
    for (const [name, mistake] of Object.entries(mistakes)) test(name, () => expectMistake(name, mistake));
  });
}

const weightsOf = (folder: string) => path.join(folder, 'model.safetensors');

async function changeConfig(folder: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
  const config = readJson<object>(folder, 'config.json');
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }));
}

async function changeTensors(folder: string, change: (tensors: Map<string, NamedTensor>) => void): Promise<void> {
  const { tensors } = decodeSafetensors(await readFile(weightsOf(folder)), 'toy model');
  change(tensors);
  await writeFile(weightsOf(folder), encodeSafetensors([...tensors.values()]));
}

/** Changes the JSON header of the weights and leaves the data as it is. */
async function changeHeader(folder: string, change: (header: string) => string): Promise<void> {
  const bytes = await readFile(weightsOf(folder));
  const headerBytes = Number(bytes.readBigUInt64LE());
  const json = Buffer.from(change(bytes.subarray(8, 8 + headerBytes).toString()));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  await writeFile(weightsOf(folder), Buffer.concat([length, json, bytes.subarray(8 + headerBytes)]));
}

async function changeNumber(folder: string, name: string, value: number): Promise<void> {
  await changeTensors(folder, (tensors) => {
    (tensors.get(name)!.data as Float32Array)[5] = value;
  });
}

describeMistakes('model folders', {
  'no folder': {
    code: 'model_not_found',
    modelFolder: 'nowhere',
    texts: ['DIR/nowhere', 'got nothing', 'expected a folder'],
  },
  'a file for a folder': {
    code: 'model_not_found',
    modelFolder: 'data.jsonl',
    texts: ['got a file, expected a folder'],
  },
  'no config': {
    code: 'model_not_found',
    model: (folder) => rm(path.join(folder, 'config.json')),
    texts: ['DIR/model/config.json: no such file', 'give a folder with config.json'],
  },
  'no weights': {
    code: 'model_not_found',
    model: (folder) => rm(weightsOf(folder)),
    texts: ['got no weights, expected model.safetensors'],
  },
  'only pytorch_model.bin': {
    code: 'model_unsupported',
    model: (folder) => rename(weightsOf(folder), path.join(folder, 'pytorch_model.bin')),
    texts: ['got pytorch_model.bin, expected model.safetensors', 'BertForSequenceClassification', 'save_pretrained'],
  },
  'a shard that is missing': {
    code: 'model_not_found',
    model: async (folder) => {
      const index = { weight_map: { [QUERY]: 'model-00001-of-00002.safetensors' } };
      await writeFile(path.join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
      await rm(weightsOf(folder));
    },
    texts: ['model-00001-of-00002.safetensors: no such file'],
  },
  'a config that is no JSON': {
    code: 'model_format',
    model: (folder) => truncate(path.join(folder, 'config.json'), 40),
    texts: ['config.json: got no JSON'],
  },
  'another model type': {
    code: 'model_unsupported',
    model: (folder) => changeConfig(folder, { model_type: 'mamba' }),
    texts: ['model_type: got "mamba", expected one of bert, distilbert, roberta'],
  },
  'another activation': {
    code: 'model_unsupported',
    model: (folder) => changeConfig(folder, { hidden_act: 'silu' }),
    texts: ['hidden_act: got "silu", expected one of gelu'],
  },
  'another head': {
    code: 'model_unsupported',
    model: (folder) => changeConfig(folder, { architectures: ['BertForMaskedLM'] }),
    texts: ['architectures: got ["BertForMaskedLM"], expected one of BertForSequenceClassification'],
  },
  'a model that is pruned already': {
    code: 'model_unsupported',
    model: (folder) =>
      changeConfig(folder, { espalier: { schema: 1, head_size: 8, heads: [3, 3], neurons: [40, 40] } }),
    texts: ['got a model that is already pruned, expected a dense one'],
  },
});

describeMistakes('weights', {
  'cut short': {
    code: 'model_format',
    model: (folder) => truncate(weightsOf(folder), 20_000),
    texts: ['the file is cut short'],
  },
  'empty file': {
    code: 'model_format',
    model: (folder) => truncate(weightsOf(folder), 0),
    texts: ['model.safetensors'],
  },
  'a header length that lies': {
    code: 'model_format',
    model: async (folder) => {
      const bytes = await readFile(weightsOf(folder));
      bytes.writeBigUInt64LE(2n ** 63n - 1n);
      await writeFile(weightsOf(folder), bytes);
    },
    texts: ['model.safetensors'],
  },
  'a header that is no JSON': {
    code: 'model_format',
    model: (folder) => changeHeader(folder, (header) => header.replace('{', '(')),
    texts: ['got a header that is no JSON'],
  },
  'offsets that lie': {
    code: 'model_format',
    model: (folder) => changeHeader(folder, (header) => header.replace('"data_offsets":[0,', '"data_offsets":[4,')),
    texts: ['model.safetensors', 'expected'],
  },
  'offsets beyond the file': {
    code: 'model_format',
    model: (folder) =>
      changeHeader(folder, (header) =>
        header.replace(
          /(query\.bias":.*?"data_offsets":)\[(\d+),(\d+)\]/,
          (_, name, begin, end) => `${name}[${Number(begin) + 1e9},${Number(end) + 1e9}]`,
        ),
      ),
    texts: ['query.bias', 'expected at most'],
  },
  'a dtype that lies': {
    code: 'model_format',
    model: (folder) => changeHeader(folder, (header) => header.replace('"dtype":"F32"', '"dtype":"F16"')),
    texts: ['bytes, expected', 'for F16'],
  },
  'a dtype of another kind': {
    code: 'model_unsupported',
    model: (folder) => changeHeader(folder, (header) => header.replaceAll('"dtype":"F32"', '"dtype":"I32"')),
    texts: ['got I32, expected F32, F16 or BF16'],
  },
  'a missing weight': {
    code: 'weights_mismatch',
    model: (folder) => changeTensors(folder, (tensors) => tensors.delete(QUERY)),
    texts: [`got no ${QUERY}`, 'check that config.json belongs to these weights'],
  },
  'an unknown weight': {
    code: 'weights_mismatch',
    model: (folder) =>
      changeTensors(folder, (tensors) => {
        tensors.set('bert.lora_A', { name: 'bert.lora_A', dtype: 'F32', shape: [1], data: Float32Array.of(1) });
      }),
    texts: ['got unexpected bert.lora_A'],
  },
  'a misshapen weight': {
    code: 'shape_mismatch',
    model: (folder) =>
      changeTensors(folder, (tensors) => {
        tensors.set(QUERY, { ...tensors.get(QUERY)!, shape: [12, 48] });
      }),
    texts: [`${QUERY}: got [12,48], expected [24,24]`],
  },
  'a config of other sizes': {
    code: 'shape_mismatch',
    model: (folder) => changeConfig(folder, { intermediate_size: 999 }),
    texts: ['intermediate.dense.weight: got [40,24], expected [999,24]', 'and 1 more'],
  },
  'a config of more layers': {
    code: 'weights_mismatch',
    model: (folder) => changeConfig(folder, { num_hidden_layers: 3 }),
    texts: ['got no bert.encoder.layer.2.', 'and 11 more'],
  },
  'a config of fewer layers': {
    code: 'weights_mismatch',
    model: (folder) => changeConfig(folder, { num_hidden_layers: 1 }),
    texts: ['got unexpected bert.encoder.layer.1.'],
  },
  'a config of more labels': {
    code: 'shape_mismatch',
    model: (folder) => changeConfig(folder, { id2label: { 0: 'a', 1: 'b', 2: 'c' } }),
    texts: ['classifier.weight: got [2,24], expected [3,24]'],
  },
  NaN: {
    code: 'not_finite',
    model: (folder) => changeNumber(folder, QUERY, Number.NaN),
    texts: [`${QUERY}: got NaN at index 5, expected finite numbers`],
  },
  infinity: {
    code: 'not_finite',
    model: (folder) => changeNumber(folder, 'bert.embeddings.LayerNorm.bias', Number.NEGATIVE_INFINITY),
    texts: ['bert.embeddings.LayerNorm.bias: got -Infinity at index 5'],
  },
});

describeMistakes('tokenizers', {
  none: { code: 'model_not_found', model: (folder) => rm(path.join(folder, 'vocab.txt')), texts: ['tokenizer.json'] },
  'of another model': {
    code: 'tokenizer_format',
    model: async (folder) => {
      const vocabulary = await readFile(path.join(folder, 'vocab.txt'), 'utf8');
      await writeFile(path.join(folder, 'vocab.txt'), `${vocabulary}more\n`);
    },
    texts: ['vocab.txt: got token id 61, expected ids below 61', 'use the tokenizer that belongs to this model'],
  },
  'no JSON': {
    code: 'tokenizer_format',
    model: (folder) => writeFile(path.join(folder, 'tokenizer.json'), '{"model":'),
    texts: ['tokenizer.json'],
  },
  'no special tokens': {
    code: 'tokenizer_format',
    model: (folder) => writeFile(path.join(folder, 'vocab.txt'), 'ba\nbe\n'),
    texts: ['vocab.txt: got 2 tokens without [UNK]'],
  },
});

const lines = (...more: string[]) => `${[...GOOD.map((row) => JSON.stringify(row)), ...more].join('\n')}\n`;

describeMistakes('data', {
  'no file': {
    code: 'data_not_found',
    without: ['data'],
    flags: (folder) => ['--data', `${folder}/nowhere.jsonl`],
    texts: ['DIR/nowhere.jsonl: not found', 'give a .jsonl, .csv or .tsv file'],
  },
  'a folder': {
    code: 'data_format',
    without: ['data'],
    flags: (folder) => ['--data', folder],
    texts: ['got a folder, expected a file'],
  },
  'another format': { code: 'data_format', data: ['data.parquet', 'PAR1'], texts: ['got extension ".parquet"'] },
  empty: { code: 'data_empty', data: ['data.jsonl', ''], texts: ['DIR/data.jsonl', 'at least one sample'] },
  'blank lines alone': { code: 'data_empty', data: ['data.jsonl', '\n\n'], texts: ['DIR/data.jsonl'] },
  'a header alone': { code: 'data_empty', data: ['data.csv', 'sentence,label\n'], texts: ['DIR/data.csv'] },
  'a line that is no JSON': {
    code: 'data_format',
    data: ['data.jsonl', lines('{"sentence": ')],
    texts: ['DIR/data.jsonl:21: got no JSON'],
  },
  'a line that is no object': {
    code: 'data_format',
    data: ['data.jsonl', lines('[1]')],
    texts: ['DIR/data.jsonl:21: got an array, expected a JSON object'],
  },
  'bytes that are no text': {
    code: 'data_format',
    data: ['data.jsonl', Buffer.from([...Buffer.from(lines()), 0x22, 0xff, 0x0a])],
    texts: ['DIR/data.jsonl:21: got bytes that are not UTF-8'],
  },
  'a row with a column too many': {
    code: 'data_format',
    data: ['data.csv', 'sentence,label\nba be,0\nba,be,1\n'],
    texts: ['DIR/data.csv:3: got 3 columns, expected 2 as in the header'],
  },
  'no text column': {
    code: 'data_format',
    rows: GOOD.map(({ label }) => ({ words_of_mine: 'ba', label })),
    texts: ['columns words_of_mine, label', 'add --text-column'],
  },
  'no label column': {
    code: 'data_format',
    rows: GOOD.map(({ sentence }) => ({ sentence })),
    texts: ['DIR/data.jsonl', 'label'],
  },
  'a text that is missing': {
    code: 'data_format',
    data: ['data.jsonl', lines('{"label":"green"}')],
    texts: ['DIR/data.jsonl:21: sentence: got nothing'],
  },
  'a label out of range': {
    code: 'data_label',
    data: ['data.jsonl', lines('{"sentence":"ba","label":7}')],
    texts: ['DIR/data.jsonl:21: label: got 7, expected class 0 to 1 or wilted, green'],
  },
  'a label of another name': {
    code: 'data_label',
    data: ['data.jsonl', lines('{"sentence":"ba","label":"blue"}')],
    texts: ['DIR/data.jsonl:21: label: got "blue", expected class 0 to 1 or wilted, green'],
  },
  'a label that is no whole number': {
    code: 'data_label',
    data: ['data.jsonl', lines('{"sentence":"ba","label":0.5}')],
    texts: ['DIR/data.jsonl:21: label: got 0.5'],
  },
  'a label that is missing': {
    code: 'data_label',
    data: ['data.jsonl', lines('{"sentence":"ba"}')],
    texts: ['DIR/data.jsonl:21: label: got nothing'],
  },
  'names for regression': {
    code: 'data_label',
    toy: { labels: ['score'] },
    texts: ['DIR/data.jsonl:1: label: got "', 'expected a finite number'],
  },
  'one label for many': {
    code: 'data_label',
    toy: { problemType: 'multi_label_classification' },
    texts: ['DIR/data.jsonl:1: label: got "', 'expected a list of labels'],
  },
  'fewer labels than words': {
    code: 'data_label',
    toy: { head: 'TokenClassification', labels: ENTITY_LABELS },
    rows: [{ tokens: ['ba', 'be'], ner_tags: ['O'] }],
    texts: ['DIR/data.jsonl:1: ner_tags: got 1 labels for 2 words'],
  },
  'an answer that the context does not hold': {
    code: 'data_label',
    toy: { head: 'QuestionAnswering' as const, labels: ['start', 'end'] },
    rows: [{ question: 'ba', context: 'be bi', answers: { text: ['go'], answer_start: [0] } }],
    texts: ['DIR/data.jsonl:1: answers'],
  },
  'a bad label in --eval': {
    code: 'data_label',
    flags: (folder) => ['--eval', `${folder}/../bad-eval.jsonl`],
    texts: ['bad-eval.jsonl:2: label: got "blue"'],
  },
  'no labels in --eval': {
    code: 'data_format',
    flags: (folder) => ['--eval', `${folder}/../bare-eval.jsonl`, '--labels', 'model'],
    texts: ['bare-eval.jsonl', 'label'],
  },
});

before(async () => {
  await writeRows(workspace.path('mistakes/bad-eval.jsonl'), [GOOD[0], { sentence: 'ba', label: 'blue' }]);
  await writeRows(workspace.path('mistakes/bare-eval.jsonl'), [{ sentence: 'ba' }]);
});

const budget = (value: string) => ({ without: ['budget'], flags: () => [`--budget=${value}`] });

describeMistakes('flags', {
  'budget 0': { code: 'budget_out_of_range', ...budget('0'), texts: ['got 0, expected more than 0 and less than 1'] },
  'budget 1': { code: 'budget_out_of_range', ...budget('1'), texts: ['got 1, expected more than 0 and less than 1'] },
  'budget 1.5': { code: 'budget_out_of_range', ...budget('1.5'), texts: ['got 1.5'] },
  'budget below 0': { code: 'budget_out_of_range', ...budget('-0.5'), texts: ['got -0.5'] },
  'budget that is no number': { code: 'usage', ...budget('half'), texts: ['got half, expected a decimal fraction'] },
  'budget below the smallest': {
    code: 'budget_out_of_range',
    ...budget('0.0001,0.5'),
    texts: ['budget: got 0.0001, expected at least 0.00', 'a single unit'],
  },
  'unknown flag': {
    code: 'usage',
    flags: () => ['--no-such-flag'],
    texts: ['--no-such-flag', 'espalier prune --help'],
  },
  'misspelt flag': { code: 'usage', flags: () => ['--sample', '5'], texts: ["'--sample'", 'did you mean --samples'] },
  'several problems at once': {
    code: 'usage',
    without: ['data', 'budget'],
    flags: () => ['--samples', '0', '--dtype', 'int8'],
    texts: ['--data FILE: missing', '--budget FRACTION: missing', '--samples: got 0', '--dtype: got int8'],
  },
  'no workers': { code: 'usage', without: ['workers'], flags: () => ['--workers', '0'], texts: ['--workers: got 0'] },
  'an address that is none': {
    code: 'usage',
    flags: () => ['--worker', 'here'],
    texts: ['--worker: got here, expected host:port'],
  },
  'a metric of another task': {
    code: 'usage',
    flags: (folder) => ['--eval', `${folder}/data.jsonl`, '--metric', 'spearman'],
    texts: ['spearman', 'accuracy'],
  },
  'a length beyond the model': {
    code: 'usage',
    flags: () => ['--max-length', '33'],
    texts: ['got 33 tokens, expected 5 to 32 for this model', '--max-length'],
  },
});

describe('output', () => {
  test('under a file', async () => {
    const model = await writeToyModel(workspace.path('under-model'));
    const data = await writeRows(workspace.path('under.jsonl'), toyRows('sentence', { count: 5 }));
    const out = `${data}/out`;
    const finished = await workspace.run(['prune', model, '--data', data, '--budget', '0.5', '--out', out]);
    assertFailed(finished, 'output_unwritable', out);
    assert.ok(finished.seconds < QUICK_SECONDS);
  });

  test('in a folder that may not be written', async (t) => {
    if (process.getuid?.() === 0) return t.skip('root may write anywhere');
    const model = await writeToyModel(workspace.path('closed-model'));
    const data = await writeRows(workspace.path('closed.jsonl'), toyRows('sentence', { count: 5 }));
    await mkdir(workspace.path('closed'), { mode: 0o555 });
    const out = workspace.path('closed/out');
    assertFailed(
      await workspace.run(['prune', model, '--data', data, '--budget', '0.5', '--out', out]),
      'output_unwritable',
      out,
    );
  });

  test('a cache folder that cannot be used', async () => {
    const model = await writeToyModel(workspace.path('cache-model'));
    const data = await writeRows(workspace.path('cache.jsonl'), toyRows('sentence', { count: 5 }));
    const words = ['prune', model, '--data', data, '--budget', '0.5', '--out', workspace.path('cache-out')];
    for (const cache of [data, '/proc/espalier']) {
      const finished = await workspace.run(words, { XDG_CACHE_HOME: cache });
      assertFailed(finished, 'output_unwritable', `${cache}/espalier/blobs: the cache folder`, 'set XDG_CACHE_HOME');
      assert.ok(finished.seconds < QUICK_SECONDS);
    }
  });

  test('where the kernel lets nobody write', async () => {
    const model = await writeToyModel(workspace.path('proc-model'));
    const data = await writeRows(workspace.path('proc.jsonl'), toyRows('sentence', { count: 5 }));
    const out = '/proc/espalier/out';
    const finished = await workspace.run(['prune', model, '--data', data, '--budget', '0.5', '--out', out]);
    assertFailed(finished, 'output_unwritable', out);
    assert.ok(finished.seconds < QUICK_SECONDS);
  });
});

describe('found while working', () => {
  test('weights so large that the loss is not finite', async () => {
    const model = await writeToyModel(workspace.path('huge'));
    await changeTensors(model, (tensors) => {
      const { data } = tensors.get('classifier.weight')!;
      for (let i = 0; i < data.length; i++) (data as Float32Array)[i] = i % 2 === 0 ? 3e38 : -3e38;
    });
    const data = await writeRows(workspace.path('huge.jsonl'), toyRows('sentence', { count: 40 }));
    for (const flags of [[], ['--eval', data]]) {
      const out = workspace.path('huge-out');
      const run = workspace.start([
        'prune',
        model,
        '--data',
        data,
        '--budget',
        '0.5',
        '--workers',
        '1',
        '--out',
        out,
        ...flags,
      ]);
      const finished = await run.finished;
      assertFailed(finished, 'not_finite', flags.length === 0 ? 'fisher/0: losses ' : 'evaluate/0: logits ');
      assertNothingWritten(out);
      await noneLeft([run.pid]);
    }
  });

  test('a worker address where nobody listens', async () => {
    const model = await writeToyModel(workspace.path('alone'));
    const data = await writeRows(workspace.path('alone.jsonl'), toyRows('sentence', { count: 40 }));
    const out = workspace.path('alone-out');
    const finished = await workspace.run([
      'prune',
      model,
      '--data',
      data,
      '--budget',
      '0.5',
      '--worker',
      '127.0.0.1:9',
      '--out',
      out,
    ]);
    assertFailed(finished, 'no_workers', '127.0.0.1:9: cannot be reached');
    assert.ok(finished.seconds < QUICK_SECONDS, `took ${finished.seconds} s`);
    assert.ok(!existsSync(out));
  });

  test('texts longer than the model allows are cut, counted and told of', async () => {
    const model = await writeToyModel(workspace.path('long'), { labels: LABELS });
    const long = { sentence: 'ba '.repeat(100), label: 'green' };
    const data = await writeRows(workspace.path('long.jsonl'), [...GOOD, long, long, long]);
    const out = workspace.path('long-out');
    const finished = await workspace.run([
      ...['prune', model, '--data', data, '--eval', data, '--budget', '0.5', '--workers', '1', '--out', out],
    ]);
    assert.equal(finished.code, 0, finished.stderr);
    const notice = `note: ${data}: 3 of 23 samples were longer than 32 tokens and were cut`;
    assert.equal(finished.stderr.split(notice).length, 3, 'for --data and for --eval');
    const report = readJson<{ data: { truncated: number }; evaluation: { truncated: number } }>(out, '0.5/report.json');
    assert.deepEqual([report.data.truncated, report.evaluation.truncated], [3, 3]);
  });

  test('evaluate and inspect have the same errors', async () => {
    const model = await writeToyModel(workspace.path('other-commands'), { labels: LABELS });
    const data = await writeRows(workspace.path('other-commands.jsonl'), [{ sentence: 'ba', label: 'blue' }]);
    const evaluated = await workspace.run(['evaluate', model, '--data', data]);
    assertFailed(evaluated, 'data_label', 'other-commands.jsonl:1: label: got "blue"');
    await cp(model, workspace.path('cut'), { recursive: true });
    await truncate(weightsOf(workspace.path('cut')), 20_000);
    assertFailed(await workspace.run(['inspect', workspace.path('cut')]), 'model_format', 'the file is cut short');
    assertFailed(await workspace.run(['inspect', workspace.path('nowhere')]), 'model_not_found', 'got nothing');
  });
});
