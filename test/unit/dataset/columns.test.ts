import assert from 'node:assert/strict';
import { test } from 'node:test';
import { questionColumns, textColumns, wordColumns } from '../../../dataset/columns.ts';
import { failsWith } from './temporary-folder.ts';

const file = (...columns: string[]) => ({ path: 'd.jsonl', columns });

for (const [columns, expected] of [
  [
    ['sentence', 'label'],
    ['sentence', null, 'label'],
  ],
  [
    ['idx', 'text', 'labels'],
    ['text', null, 'labels'],
  ],
  [
    ['sentence1', 'sentence2', 'score'],
    ['sentence1', 'sentence2', 'score'],
  ],
  [
    ['premise', 'hypothesis', 'label'],
    ['premise', 'hypothesis', 'label'],
  ],
  [
    ['question1', 'question2', 'is_duplicate'],
    ['question1', 'question2', 'is_duplicate'],
  ],
  [
    ['question', 'sentence', 'label'],
    ['question', 'sentence', 'label'],
  ],
  [
    ['title', 'content', 'target'],
    ['content', null, 'target'],
  ],
  [
    ['#1 String', '#2 String', 'Quality'],
    ['#1 String', '#2 String', 'Quality'],
  ],
] as const)
  test(`text columns are guessed from ${columns.join(', ')}`, () => {
    const [text, textPair, label] = expected;
    assert.deepEqual(textColumns(file(...columns), {}, 'single-label-classification', true), { text, textPair, label });
  });

test('named columns win, and a named text stands alone', () => {
  const found = file('sentence1', 'sentence2', 'label', 'other');
  const task = 'single-label-classification';
  assert.deepEqual(textColumns(found, { text: 'sentence2', label: 'other' }, task, true), {
    text: 'sentence2',
    textPair: null,
    label: 'other',
  });
});

test('a label column may be missing or unclear where none is required', () => {
  const task = 'regression';
  assert.equal(textColumns(file('text'), {}, task, false).label, null);
  assert.equal(textColumns(file('text', 'label', 'score'), {}, task, false).label, null);
});

test('what is missing or unclear is refused with the columns and the flag', () => {
  const task = 'single-label-classification';
  const fails = (columns: string[], settings: object, part: string, flag: string) =>
    assert.throws(
      () => textColumns(file(...columns), settings, task, true),
      (error: Error & { action: string }) => failsWith('data_format', part)(error) && error.action.includes(flag),
    );
  fails(['x', 'label'], {}, 'd.jsonl: got no text that is known by its name in columns x, label', '--text-column');
  fails(['text', 'review', 'label'], {}, 'got more than one possible text: text, review', '--text-column');
  fails(['text', 'x'], {}, 'got no label column that is known by its name in columns text, x', '--label-column');
  fails(['text', 'label', 'score'], {}, 'more than one possible label column: label, score', '--label-column');
  fails(['text', 'label'], { text: 'txt' }, 'got no column "txt" in columns text, label', '--text-column');
  fails(['text', 'label'], { textPair: 'text' }, 'second text but none for the first', '--text-column');
  fails(
    ['text', 'label'],
    { context: 'text' },
    'got --context-column, which single-label-classification does not use',
    '',
  );
});

test('columns of words and of questions', () => {
  assert.deepEqual(wordColumns(file('id', 'tokens', 'ner_tags'), {}, true), { words: 'tokens', label: 'ner_tags' });
  assert.throws(
    () => wordColumns(file('tokens', 'ner_tags', 'pos_tags'), {}, true),
    failsWith('data_format', 'more than one possible label column: ner_tags, pos_tags'),
  );
  assert.deepEqual(questionColumns(file('id', 'context', 'question', 'answers'), {}, true), {
    question: 'question',
    context: 'context',
    answers: { kind: 'one', answers: 'answers' },
  });
  assert.deepEqual(questionColumns(file('context', 'question', 'answers.text', 'answers.answer_start'), {}, true), {
    question: 'question',
    context: 'context',
    answers: { kind: 'two', text: 'answers.text', start: 'answers.answer_start' },
  });
  assert.throws(
    () => questionColumns(file('context', 'question'), {}, true),
    failsWith('data_format', 'got no answers that is known by its name'),
  );
  assert.equal(questionColumns(file('context', 'question'), {}, false).answers, null);
});
