// The output folder: one run at a time, never overwritten unasked, replaced whole.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { before, test } from 'node:test';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { deepRun, tunedSubLayers } from '../support/example-run.ts';
import { assertFailed, family, noneLeft, openWorkspace, readJson } from '../support/run-cli.ts';
import { toyRows, writeRows } from '../support/toy-data.ts';
import { writeToyModel } from '../support/toy-model.ts';

const workspace = await openWorkspace();
const at = (name: string) => workspace.path(name);
const toyRun = (out: string, ...flags: string[]) => [
  ...['prune', at('model'), '--data', at('train.jsonl'), '--budget', '0.5', '--out', at(out)],
  ...flags,
];

before(async () => {
  await writeToyModel(at('model'));
  await writeRows(at('train.jsonl'), toyRows('sentence', { count: 40 }));
});

test('a second run into the same folder is refused, and the first is not disturbed', async () => {
  const first = workspace.start(await deepRun(workspace, 'shared', '--workers', '2'));
  await tunedSubLayers(workspace, 'shared', 1);
  // Its rest takes a second, three refusals perhaps more.
  process.kill(first.pid, 'SIGSTOP');
  try {
    for (const flags of [[], ['--resume'], ['--force']]) {
      const run = flags.length === 0 ? workspace.run : workspace.runHere;
      const second = await run(await deepRun(workspace, 'shared', '--workers', '1', ...flags));
      assertFailed(second, 'output_locked', at('shared'), `process ${first.pid}`);
    }
  } finally {
    process.kill(first.pid, 'SIGCONT');
  }
  const finished = await first.finished;
  assert.equal(finished.code, 0, finished.stderr);
  const alone = await workspace.runOnWorkers(await deepRun(workspace, 'alone'), 2);
  const digest = (stdout: string) => (JSON.parse(stdout) as { runs: PruneReport[] }).runs[0].digest;
  assert.equal(digest(finished.stdout), digest(alone.stdout));
});

test('an output that is there is kept without --force and replaced whole with it', async () => {
  const first = await workspace.runOnWorkers(toyRun('kept'));
  assert.equal(first.code, 0, first.stderr);
  const report = () => readJson<PruneReport>(at('kept'), '0.5/report.json');
  const before = report();

  const refused = await workspace.runOnWorkers(toyRun('kept', '--seed', '1'));
  assertFailed(refused, 'output_exists', at('kept'), '--force');
  assert.deepEqual(report(), before);
  assert.deepEqual(readdirSync(at('kept')).sort(), ['0.5', 'report.html']);

  await writeFile(at('kept/notes.txt'), 'mine');
  const careful = await workspace.runOnWorkers(toyRun('kept', '--seed', '1', '--force'));
  assertFailed(careful, 'output_exists', at('kept'), 'notes.txt');
  assert.equal(await readFile(at('kept/notes.txt'), 'utf8'), 'mine');
  await rm(at('kept/notes.txt'));

  const forced = await workspace.runOnWorkers(toyRun('kept', '--seed', '1', '--force'));
  assert.equal(forced.code, 0, forced.stderr);
  assert.notEqual(report().digest, before.digest);
  assert.deepEqual(
    readdirSync(at('kept')).sort(),
    ['0.5', 'report.html'],
    'nothing of the old output is mixed with the new one',
  );
});

test('--force that is interrupted leaves the old output whole', async () => {
  const first = await workspace.runOnWorkers(toyRun('old'));
  assert.equal(first.code, 0, first.stderr);
  const before = readJson<PruneReport>(at('old'), '0.5/report.json');
  const run = workspace.start(await deepRun(workspace, 'old', '--force', '--workers', '2'));
  await tunedSubLayers(workspace, 'old', 1);
  const members = family(run);
  run.kill('SIGKILL');
  await run.finished;
  await noneLeft(members);
  assert.deepEqual(readJson<PruneReport>(at('old'), '0.5/report.json'), before);
});

test('folders above the output are made', async () => {
  const finished = await workspace.runOnWorkers(toyRun('a/b/c'));
  assert.equal(finished.code, 0, finished.stderr);
  assert.deepEqual(readdirSync(at('a/b')), ['c']);
  assert.ok(existsSync(at('a/b/c/0.5/model.safetensors')));
});
