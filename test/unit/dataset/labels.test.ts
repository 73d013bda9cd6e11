import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classTargets, multiLabelTargets, regressionTargets, wordTargets } from '../../../dataset/labels.ts';
import { goldAnswers } from '../../../dataset/question-answers.ts';
import { smallConfig } from './small-tokenizer.ts';
import { failsWith } from './temporary-folder.ts';

const rows = (...values: unknown[]) => values.map((label, i) => ({ line: i + 2, values: { label } }));
const place = (outputs = 2, labels: string[] = ['no', 'yes']) => ({
  path: 'd.csv',
  column: 'label',
  config: smallConfig({ outputs, labels }),
});
const plain = (targets: ArrayLike<number>[]) => targets.map((target) => Array.from(target));

test('classes: ids, ids as text, names', () => {
  assert.deepEqual(plain(classTargets(place(), rows(0, 1, '1', '0.0', 'yes', 'no'))), [[0], [1], [1], [0], [1], [0]]);
  // A name wins over an id: here the name of class 0 is "1".
  assert.deepEqual(plain(classTargets(place(2, ['1', '0']), rows('1', 1))), [[0], [1]]);
});

for (const value of [2, -1, 0.5, null, undefined, 'maybe', '', true, [1], '1.5'])
  test(`classes: ${JSON.stringify(value)} is refused`, () => {
    const got = value === undefined ? 'nothing' : JSON.stringify(value);
    assert.throws(
      () => classTargets(place(), rows(1, value)),
      failsWith('data_label', `d.csv:3: label: got ${got}, expected class 0 to 1 or no, yes`),
    );
  });

test('classes without names of their own are shown as a range', () => {
  assert.throws(
    () => classTargets(place(3, ['LABEL_0', 'LABEL_1', 'LABEL_2']), rows(3)),
    failsWith('data_label', 'got 3, expected class 0 to 2'),
  );
});

test('several labels: names, ids, vectors, lists in a CSV cell', () => {
  const three = place(3, ['x', 'y', 'z']);
  assert.deepEqual(plain(multiLabelTargets(three, rows(['x', 'z'], [], [1]))), [
    [1, 0, 1],
    [0, 0, 0],
    [0, 1, 0],
  ]);
  assert.deepEqual(plain(multiLabelTargets(three, rows([1, 0, 1], [0, 0, 0]))), [
    [1, 0, 1],
    [0, 0, 0],
  ]);
  assert.deepEqual(plain(multiLabelTargets(three, rows('["y"]', '[2, 0]'))), [
    [0, 1, 0],
    [1, 0, 1],
  ]);
});

test('several labels: vectors and ids in one file, and single values, are refused', () => {
  const three = place(3, ['x', 'y', 'z']);
  assert.throws(
    () => multiLabelTargets(three, rows([1, 0, 1], [2])),
    failsWith('data_label', 'd.csv:2: label: got [1,0,1], expected each label once'),
  );
  assert.throws(
    () => multiLabelTargets(three, rows('x')),
    failsWith('data_label', 'expected a list of labels: class 0 to 2'),
  );
  assert.throws(() => multiLabelTargets(three, rows(['w'])), failsWith('data_label', 'd.csv:2: label: got "w"'));
});

test('regression: finite numbers, as many as the model has outputs', () => {
  assert.deepEqual(plain(regressionTargets(place(1), rows(2.5, '0.25', -1, [3]))), [[2.5], [0.25], [-1], [3]]);
  assert.deepEqual(plain(regressionTargets(place(2), rows([1, 2], '[3, 4]'))), [
    [1, 2],
    [3, 4],
  ]);
  for (const value of ['', 'high', null, [1, 2], 'Infinity'])
    assert.throws(
      () => regressionTargets(place(1), rows(value)),
      failsWith('data_label', `got ${JSON.stringify(value)}, expected a finite number`),
    );
  assert.throws(() => regressionTargets(place(2), rows(1)), failsWith('data_label', 'expected 2 finite numbers'));
});

test('words: one label each', () => {
  const tags = place(3, ['O', 'B-X', 'I-X']);
  assert.deepEqual(plain(wordTargets(tags, rows(['O', 'B-X'], [2]), [2, 1])), [[0, 1], [2]]);
  assert.throws(
    () => wordTargets(tags, rows(['O']), [2]),
    failsWith('data_label', 'd.csv:2: label: got 1 labels for 2 words'),
  );
  assert.throws(() => wordTargets(tags, rows('O'), [1]), failsWith('data_label', 'expected a list with a label'));
  assert.throws(
    () => wordTargets(tags, rows(['B-Y']), [1]),
    failsWith('data_label', 'got "B-Y", expected class 0 to 2 or O'),
  );
});

const one = { kind: 'one', answers: 'answers' } as const;
const answerRow = (answers: unknown) => ({ line: 7, values: { answers } });

test('answers: lists, single values, JSON in a cell, flattened columns, none', () => {
  const context = 'Ann planted it in the garden.';
  const expected = [{ text: 'the garden', start: 18, end: 28 }];
  assert.deepEqual(goldAnswers('q', one, answerRow({ text: ['the garden'], answer_start: [18] }), context), expected);
  assert.deepEqual(goldAnswers('q', one, answerRow({ text: 'the garden', answer_start: 18 }), context), expected);
  const cell = '{"text": ["the garden"], "answer_start": [18]}';
  assert.deepEqual(goldAnswers('q', one, answerRow(cell), context), expected);
  const two = { kind: 'two', text: 't', start: 's' } as const;
  assert.deepEqual(goldAnswers('q', two, { line: 1, values: { t: '["the garden"]', s: '[18]' } }, context), expected);
  assert.deepEqual(goldAnswers('q', two, { line: 1, values: { t: 'the garden', s: '18' } }, context), expected);
  assert.deepEqual(goldAnswers('q', one, answerRow({ text: [], answer_start: [] }), context), []);
});

test('answers: characters outside the basic plane are counted as Python counts, or as JavaScript', () => {
  const context = 'A \u{1f333}\u{1f333} tree';
  const expected = [{ text: 'tree', start: 7, end: 11 }];
  assert.deepEqual(goldAnswers('q', one, answerRow({ text: ['tree'], answer_start: [5] }), context), expected);
  assert.deepEqual(goldAnswers('q', one, answerRow({ text: ['tree'], answer_start: [7] }), context), expected);
});

for (const [answers, part] of [
  ['garden', 'q:7: answers: got "garden", expected {"text": [...], "answer_start": [...]}'],
  [{ text: ['a'], answer_start: [] }, 'expected {"text": [...]'],
  [{ text: ['wall'], answer_start: [4] }, 'got "wall" at 4, where the context has "gard"'],
  [{ text: ['old'], answer_start: [-1] }, 'got "old" at -1, expected a text and the character'],
  [{ text: [5], answer_start: [0] }, 'got 5 at 0, expected a text'],
  [undefined, 'got nothing'],
] as const)
  test(`answers: ${JSON.stringify(answers)} is refused`, () => {
    assert.throws(() => goldAnswers('q', one, answerRow(answers), 'old garden'), failsWith('data_label', part));
  });
