// What goes to standard output and what to standard error.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { openWorkspace, readJson } from '../support/run-cli.ts';
import { toyRows, writeRows } from '../support/toy-data.ts';
import { writeToyModel } from '../support/toy-model.ts';

const workspace = await openWorkspace();
const at = (name: string) => workspace.path(name);
const words = (out: string) => [
  ...[
    'prune',
    at('model'),
    '--data',
    at('train.jsonl'),
    '--eval',
    at('train.jsonl'),
    '--budget',
    '0.4,0.6',
    '--method',
    'paper',
  ],
  ...['--samples', '32', '--workers', '1', '--out', at(out)],
];

before(async () => {
  await writeToyModel(at('model'));
  await writeRows(at('train.jsonl'), toyRows('sentence', { count: 40 }));
});

test('--json prints one JSON object with the reports and nothing else; progress goes to standard error', async () => {
  const { code, stdout, stderr } = await workspace.run([...words('json'), '--json']);
  assert.equal(code, 0, stderr);
  const printed = JSON.parse(stdout) as { runs: unknown[] };
  assert.deepEqual(Object.keys(printed), ['runs']);
  assert.deepEqual(printed.runs, [readJson(at('json'), '0.4/report.json'), readJson(at('json'), '0.6/report.json')]);
  const told = stderr.trimEnd().split('\n');
  assert.match(told[0], /^worker 127\.0\.0\.1:\d+ joined: cpu/);
  const stages = ['load', 'evaluate', 'fisher'];
  for (const budget of ['0.4', '0.6'])
    stages.push(...['search', 'evaluate', 'rearrange', 'evaluate', 'tune'].map((stage) => `${stage} ${budget}`));
  for (const budget of ['0.4', '0.6']) stages.push(`export ${budget}`, `evaluate ${budget}`);
  stages.push('latency');
  const finished = told.filter((line) => /^\w+( 0\.\d)? +[\d.]+ m?s\b/.test(line));
  assert.deepEqual(
    finished.map((line) => line.replace(/ +[\d.]+ m?s\b.*$/, '')),
    stages,
    stderr,
  );
});

test('--quiet prints no progress, and without --json there is a table', async () => {
  const { code, stdout, stderr } = await workspace.run([...words('quiet'), '--quiet']);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.match(stdout, /^ +dense +budget 0\.4 +budget 0\.6\n/);
  assert.match(stdout, /^MACs +/m);
  assert.match(stdout, /^Result: .*quiet\/0\.6$/m);
});

test('no control characters go where no terminal is', async () => {
  const { stdout, stderr } = await workspace.run(words('plain'));
  assert.ok(![...(stdout + stderr)].some((character) => character < ' ' && character !== '\n'));
});
