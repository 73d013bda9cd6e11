// Mistakes in data: one clear line with file and line, its exit code, and nothing is written.
import { mkdir } from 'node:fs/promises';
import { before } from 'node:test';
import { describeMistakes, GOOD } from '../../support/mistakes.ts';
import { openWorkspace } from '../../support/run-cli.ts';
import { ENTITY_LABELS, writeRows } from '../../support/toy-data.ts';

const workspace = await openWorkspace();

before(async () => {
  await mkdir(workspace.path('mistakes'), { recursive: true });
  await writeRows(workspace.path('mistakes/bad-eval.jsonl'), [GOOD[0], { sentence: 'ba', label: 'blue' }]);
  await writeRows(workspace.path('mistakes/bare-eval.jsonl'), [{ sentence: 'ba' }]);
});

const lines = (...more: string[]) => `${[...GOOD.map((row) => JSON.stringify(row)), ...more].join('\n')}\n`;

describeMistakes(workspace, 'data', {
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
  'no labels to judge a loss by': {
    code: 'data_format',
    rows: GOOD.map(({ sentence }) => ({ sentence })),
    flags: () => ['--max-drop', '0.1'],
    texts: ['DIR/data.jsonl: got no label column'],
  },
  'too few samples to judge a loss by': {
    code: 'usage',
    flags: () => ['--max-drop', '0.1'],
    texts: [
      'max-drop: got 20 distinct samples, of which 5 could judge, expected at least 64',
      'draw more with --samples',
    ],
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
