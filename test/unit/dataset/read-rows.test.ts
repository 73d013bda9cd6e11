import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readRows } from '../../../dataset/read-rows.ts';
import { failsWith, temporaryFolder } from './temporary-folder.ts';

test('JSON lines: values keep their types, blank lines count but give no row', async (t) => {
  const folder = await temporaryFolder(t, {
    'rows.jsonl': '\ufeff{"text":"a","label":1}\r\n\r\n  \n{"text":"b","label":[2,3]}',
  });
  assert.deepEqual(await readRows(join(folder, 'rows.jsonl')), [
    { line: 1, values: { text: 'a', label: 1 } },
    { line: 4, values: { text: 'b', label: [2, 3] } },
  ]);
});

test('CSV: quoted commas, quotes and line breaks; a row has the line it starts at', async (t) => {
  const folder = await temporaryFolder(t, {
    'rows.csv': '\ufefftext,label\r\n"one, ""two""\r\nthree",0\r\n\r\nplain,1\r\n\n"x\ny",2\nlast,3',
  });
  assert.deepEqual(
    (await readRows(join(folder, 'rows.csv'))).map(({ line, values }) => [line, values]),
    [
      [2, { text: 'one, "two"\r\nthree', label: '0' }],
      [5, { text: 'plain', label: '1' }],
      [7, { text: 'x\ny', label: '2' }],
      [9, { text: 'last', label: '3' }],
    ],
  );
});

test('TSV: quotes are part of the field, as in the files of GLUE', async (t) => {
  const folder = await temporaryFolder(t, { 'rows.tsv': 'sentence\tlabel\n"unbalanced\t1\nit\'s "fine"\t0\n' });
  assert.deepEqual(await readRows(join(folder, 'rows.tsv')), [
    { line: 2, values: { sentence: '"unbalanced', label: '1' } },
    { line: 3, values: { sentence: 'it\'s "fine"', label: '0' } },
  ]);
});

const REFUSED: readonly [
  name: string,
  content: string | Uint8Array,
  code: 'data_format' | 'data_empty',
  part: string,
][] = [
  ['bad.jsonl', '{"a":1}\n{"a":}\n', 'data_format', 'bad.jsonl:2: got no JSON'],
  ['array.jsonl', '{"a":1}\n\n[1]\n', 'data_format', 'array.jsonl:3: got an array, expected a JSON object'],
  ['null.ndjson', 'null', 'data_format', 'null.ndjson:1: got null, expected a JSON object'],
  ['string.json-lines', '"x"', 'data_format', 'string.json-lines:1: got a string'],
  ['wide.csv', 'a,b\n1,2\n1,2,3\n', 'data_format', 'wide.csv:3: got 3 columns, expected 2 as in the header'],
  ['open.csv', 'a,b\n1,"2\n3,4\n', 'data_format', 'got no CSV: Quote Not Closed'],
  ['twice.csv', 'a,a\n1,2\n', 'data_format', 'twice.csv:1: got column "a" twice'],
  ['short.tsv', 'a\tb\n1\t2\n\n1\n', 'data_format', 'short.tsv:4: got 1 columns, expected 2'],
  ['nul.tsv', 'a\tb\n1\t\u0000\n', 'data_format', 'nul.tsv:2: got a NUL byte'],
  ['latin.csv', Buffer.from('a,b\n1,caf\xe9\n', 'latin1'), 'data_format', 'latin.csv:2: got bytes that are not UTF-8'],
  ['empty.jsonl', '', 'data_empty', 'empty.jsonl: got no rows'],
  ['header.csv', 'a,b\n', 'data_empty', 'header.csv: got no rows'],
  ['blank.tsv', '\n\n', 'data_empty', 'blank.tsv: got no rows'],
  ['rows.parquet', 'PAR1', 'data_format', 'got extension ".parquet", expected .jsonl, .ndjson'],
  ['rows', '{}', 'data_format', 'got extension ""'],
];

for (const [name, content, code, part] of REFUSED)
  test(`refused: ${name}`, async (t) => {
    const folder = await temporaryFolder(t, { [name]: content });
    await assert.rejects(readRows(join(folder, name)), failsWith(code, part));
  });

test('refused: no file, a folder', async (t) => {
  const folder = await temporaryFolder(t);
  await assert.rejects(readRows(join(folder, 'none.jsonl')), failsWith('data_not_found', 'none.jsonl: not found'));
  await assert.rejects(readRows(folder), failsWith('data_format', 'got a folder, expected a file'));
});
