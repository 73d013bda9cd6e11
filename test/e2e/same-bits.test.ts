// The same seed gives the same bits, however many workers there are and however often it runs.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { openWorkspace } from '../support/run-cli.ts';
import { toyRows, writeRows } from '../support/toy-data.ts';
import { writeToyModel } from '../support/toy-model.ts';

const workspace = await openWorkspace();
const at = (name: string) => workspace.path(name);

before(async () => {
  await writeToyModel(at('model'), { layers: 3, hidden: 48, heads: 4, neurons: 96 });
  await writeRows(at('train.jsonl'), toyRows('pair', { count: 500 }));
  await writeRows(at('dev.jsonl'), toyRows('pair', { count: 100, seed: 1 }));
});

/** Words of a run. */
function words(out: string, seed: string, ...flags: string[]): string[] {
  const files = ['--data', at('train.jsonl'), '--eval', at('dev.jsonl'), '--out', at(out)];
  const settings = ['--budget', '0.4,0.7', '--samples', '256', '--method', 'paper', '--seed', seed];
  return [at('model'), ...files, ...settings, ...flags];
}

/** What of a report may not depend on where and when the job ran. */
function result({ seconds, latency, speed, workers, workerTimes, ...rest }: PruneReport): object {
  assert.ok(seconds.total > 0 && latency !== null && speed.length > 1 && workers > 0 && workerTimes!.length > 0);
  return rest;
}

test('one, two and three workers give the same, and so does a second run; another seed does not', async () => {
  const one = await workspace.pruneOnWorkers(1, ...words('one', '3'));
  const two = await workspace.prune(...words('two', '3', '--workers', '2'));
  const three = await workspace.pruneOnWorkers(3, ...words('three', '3'));
  const again = await workspace.pruneOnWorkers(2, ...words('again', '3'));
  assert.deepEqual(
    [one, two, three, again].map(([{ workers }]) => workers),
    [1, 2, 3, 2],
  );
  assert.deepEqual(two.map(result), one.map(result));
  assert.deepEqual(three.map(result), one.map(result));
  assert.deepEqual(again.map(result), one.map(result));

  const other = await workspace.pruneOnWorkers(2, ...words('other', '4'));
  for (const [i, { digest }] of one.entries()) assert.notEqual(other[i].digest, digest);
  assert.notEqual(one[0].digest, one[1].digest);
});

test('model labels are drawn the same on any number of workers', async () => {
  const one = await workspace.pruneOnWorkers(1, ...words('labels-one', '3', '--labels', 'model'));
  const three = await workspace.pruneOnWorkers(3, ...words('labels-three', '3', '--labels', 'model'));
  assert.deepEqual(three.map(result), one.map(result));
});
