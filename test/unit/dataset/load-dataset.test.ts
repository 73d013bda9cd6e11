import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { type DatasetOptions, loadDataset } from '../../../dataset/load-dataset.ts';
import { idsOf, smallConfig, smallTokenizer } from './small-tokenizer.ts';
import { failsWith, temporaryFolder } from './temporary-folder.ts';

async function load(
  t: TestContext,
  rows: readonly object[],
  config: Partial<ModelConfig> = {},
  options: Partial<DatasetOptions> = {},
) {
  const text = rows.map((row) => JSON.stringify(row)).join('\n');
  const folder = await temporaryFolder(t, { 'd.jsonl': text });
  const full = smallConfig(config);
  return loadDataset({
    path: join(folder, 'd.jsonl'),
    columns: {},
    config: full,
    tokenizer: smallTokenizer(full),
    maxTokens: null,
    stride: 2,
    requireLabels: true,
    ...options,
  });
}

test('classification: rows in the order asked for, repeats included', async (t) => {
  const rows = [
    { text: 'a', label: 'yes' },
    { text: 'b c', label: 0 },
    { text: 'd', label: 1 },
  ];
  const dataset = await load(t, rows);
  assert.equal(dataset.rows, 3);
  assert.equal(dataset.maxTokens, 32);
  assert.equal(dataset.hasLabels, true);
  assert.equal(
    dataset.digest,
    createHash('sha256')
      .update(rows.map((row) => JSON.stringify(row)).join('\n'))
      .digest('hex'),
  );
  const encoded = dataset.encode(Int32Array.of(1, 0, 1));
  assert.deepEqual([...encoded.rowOfSample], [1, 0, 1]);
  assert.deepEqual(
    encoded.samples.map(({ tokenIds, target }) => [[...tokenIds], [...target]]),
    [
      [idsOf('[CLS]', 'b', 'c', '[SEP]'), [0]],
      [idsOf('[CLS]', 'a', '[SEP]'), [1]],
      [idsOf('[CLS]', 'b', 'c', '[SEP]'), [0]],
    ],
  );
  // Golds 0, 1, 0; predictions 0, 1, 1: one of class 1 hit, one too many.
  const outputs = [Float32Array.of(1, 0), Float32Array.of(-1, 2), Float32Array.of(0, 3)];
  assert.deepEqual(encoded.score(outputs), {
    primary: 'accuracy',
    values: { accuracy: 2 / 3, f1: 2 / 3, matthews: 0.5 },
  });
  assert.equal(encoded.score(outputs, 'f1').primary, 'f1');
  assert.equal(dataset.encodeUntil(null, 2).samples.length, 2);
  assert.equal(dataset.encode(null).samples.length, 3);
});

test('samples that were cut are counted', async (t) => {
  const rows = [
    { sentence1: 'a b c', sentence2: 'd e', label: 1 },
    { sentence1: 'a', sentence2: 'b', label: 0 },
  ];
  const encoded = (await load(t, rows, {}, { maxTokens: 7 })).encode(null);
  assert.equal(encoded.truncated, 1);
  assert.deepEqual([...encoded.samples[0].tokenIds], idsOf('[CLS]', 'a', 'b', '[SEP]', 'd', 'e', '[SEP]'));
  assert.deepEqual([...encoded.samples[0].typeIds], [0, 0, 0, 0, 1, 1, 1]);
});

test('token classification: labels stand at first tokens, cut words are not scored', async (t) => {
  const config = { task: 'token-classification', outputs: 3, labels: ['O', 'B-X', 'I-X'] } as const;
  const rows = [{ tokens: ['trees', '', 'older', 'wall', 'a'], ner_tags: ['B-X', 'O', 'I-X', 0, 1] }];
  const encoded = (await load(t, rows, config, { maxTokens: 7 })).encode(null);
  const [sample] = encoded.samples;
  assert.deepEqual([...sample.tokenIds], idsOf('[CLS]', 'tree', '##s', 'old', '##er', 'wall', '[SEP]'));
  assert.deepEqual([...sample.target], [-100, 1, -100, 2, -100, 0, -100]);
  assert.equal(encoded.truncated, 1);
  const logits = new Float32Array(21);
  for (const [token, label] of [
    [1, 1],
    [3, 0],
    [5, 1],
  ])
    logits[3 * token + label] = 1;
  // Gold entity: words 0 to 1. Predicted: word 0, and word 2.
  assert.deepEqual(encoded.score([logits]), {
    primary: 'f1',
    values: { f1: 0, precision: 0, recall: 0, accuracy: 1 / 3 },
  });
});

const QUESTION = { task: 'question-answering', outputs: 2, labels: [] } as const;
const CONTEXT = 'Ann planted it in the garden. The old pear tree grew.';

test('question answering: windows share the stride and hold the answer or point at [CLS]', async (t) => {
  const rows = [{ question: '  who?', context: CONTEXT, answers: { text: ['pear tree'], answer_start: [38] } }];
  // 3 special tokens and 2 of the question leave 6 of 11; the context has 13 tokens; windows start at 0, 4, 8.
  const dataset = await load(t, rows, QUESTION, { maxTokens: 11 });
  const encoded = dataset.encode(Int32Array.of(0, 0));
  assert.deepEqual([...encoded.rowOfSample], [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(
    encoded.samples.slice(0, 3).map(({ tokenIds, target }) => [[...tokenIds].slice(4, -1), [...target]]),
    [
      [idsOf('ann', 'planted', 'it', 'in', 'the', 'garden'), [0, 0]],
      [idsOf('the', 'garden', '.', 'the', 'old', 'pear'), [0, 0]],
      [idsOf('old', 'pear', 'tree', 'grew', '.'), [5, 6]],
    ],
  );
  assert.deepEqual([...encoded.samples[0].tokenIds].slice(0, 4), idsOf('[CLS]', 'who', '?', '[SEP]'));
  assert.equal(encoded.truncated, 0);
  assert.equal(dataset.encodeUntil(null, 2).samples.length, 2);
});

test('question answering: the best answer over the windows is scored', async (t) => {
  const rows = [{ question: 'who?', context: CONTEXT, answers: { text: ['pear tree'], answer_start: [38] } }];
  const encoded = (await load(t, rows, QUESTION, { maxTokens: 11 })).encode(null);
  const outputs = encoded.samples.map(({ tokenIds }) => new Float32Array(2 * tokenIds.length));
  outputs[2][2 * 4] = 4; // start at "old" of the third window
  outputs[2][2 * 6 + 1] = 4; // end at "tree"
  outputs[0][2 * 4] = 7; // start at "ann", sum 7 < 8
  outputs[0][0] = 100; // not in the context
  const { primary, values } = encoded.score(outputs);
  assert.equal(primary, 'f1');
  // "old pear tree" against "pear tree": 2 words shared of 3 and 2.
  assert.equal(values.f1, 4 / 5);
  assert.equal(values.exact_match, 0);
});

test('question answering: in a file with unanswerable questions the model may answer nothing', async (t) => {
  const rows = [
    { question: 'who?', context: 'ann grew it', answers: { text: ['ann'], answer_start: [0] } },
    { question: 'who?', context: 'the tree', answers: { text: [], answer_start: [] } },
  ];
  const encoded = (await load(t, rows, QUESTION)).encode(null);
  assert.deepEqual(
    encoded.samples.map(({ target }) => [...target]),
    [
      [4, 4],
      [0, 0],
    ],
  );
  const outputs = encoded.samples.map(({ tokenIds }) => new Float32Array(2 * tokenIds.length));
  outputs[0][2 * 4] = outputs[0][2 * 4 + 1] = 1;
  outputs[1][0] = outputs[1][1] = 1;
  assert.deepEqual(encoded.score(outputs).values, { f1: 1, exact_match: 1 });
});

test('question answering: a question that leaves no room names its line when it is encoded', async (t) => {
  const rows = [{ question: 'a b c d e', context: CONTEXT, answers: { text: ['Ann'], answer_start: [0] } }];
  const dataset = await load(t, rows, QUESTION, { maxTokens: 10 });
  assert.throws(
    () => dataset.encode(null),
    failsWith(
      'data_format',
      'd.jsonl:1: got a question of 5 tokens, which leaves 2 of 10 tokens for the context, expected more than the stride of 2',
    ),
  );
});

test('all rows are checked, also those that are never asked for', async (t) => {
  const bad = [
    { text: 'a', label: 0 },
    { text: 'b', label: 7 },
  ];
  await assert.rejects(
    load(t, bad),
    failsWith('data_label', 'd.jsonl:2: label: got 7, expected class 0 to 1 or no, yes'),
  );
  await assert.rejects(
    load(t, [{ text: 'a', label: 0 }, { label: 0 }]),
    failsWith('data_format', 'd.jsonl:2: text: got nothing, expected a text'),
  );
  const words = { task: 'token-classification' } as const;
  await assert.rejects(
    load(t, [{ tokens: 'a b', labels: [0, 1] }], words),
    failsWith('data_format', 'd.jsonl:1: tokens: got "a b", expected a list of words'),
  );
});

test('labels that are not needed are left out with the reason', async (t) => {
  const without = { requireLabels: false };
  const none = await load(t, [{ text: 'a' }], {}, without);
  assert.deepEqual([none.hasLabels, none.labelProblem], [false, null]);
  assert.throws(() => none.encode(null).score([Float32Array.of(0, 1)]), failsWith('data_label', 'got no labels'));
  assert.equal(none.encode(null).samples[0].target.length, 0);
  const hidden = await load(t, [{ text: 'a', label: -1 }], {}, without);
  assert.deepEqual([hidden.hasLabels, hidden.labelProblem], [false, null]);
  const other = await load(t, [{ text: 'a', label: 9 }], {}, without);
  assert.equal(other.hasLabels, false);
  assert.match(other.labelProblem ?? '', /d\.jsonl:1: label: got 9, expected class 0 to 1/);
  await assert.rejects(
    load(t, [{ text: 'a', label: 9 }], {}, { ...without, columns: { label: 'label' } }),
    failsWith('data_label', 'got 9'),
  );
});

test('outputs that do not fit, metrics and lengths that do not exist are refused', async (t) => {
  const rows = [{ text: 'a', label: 0 }];
  const encoded = (await load(t, rows)).encode(null);
  assert.throws(() => encoded.score([]), failsWith('shape_mismatch', 'outputs: got 0 samples, expected 1'));
  assert.throws(
    () => encoded.score([new Float32Array(3)]),
    failsWith('shape_mismatch', 'outputs of sample 0: got 3 numbers, expected 2'),
  );
  assert.throws(() => encoded.score([Float32Array.of(0, Number.NaN)]), failsWith('not_finite', 'outputs of sample 0'));
  assert.throws(
    () => encoded.score([new Float32Array(2)], 'bleu'),
    failsWith('usage', 'metric: got "bleu", expected accuracy, f1, matthews for single-label-classification'),
  );
  for (const maxTokens of [4, 33, 7.5])
    await assert.rejects(
      load(t, rows, {}, { maxTokens }),
      failsWith('usage', `got ${maxTokens} tokens, expected 5 to 32`),
    );
});
