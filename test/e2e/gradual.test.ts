// Gradual pruning as a whole job: the same bits for any number of workers, whatever is killed, and whatever else is asked for.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import type { LatencyTable } from '../../pruning/latency-table.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { exampleData } from '../support/example-run.ts';
import { workersOf } from '../support/processes.ts';
import { assertFailed, family, noneLeft, openWorkspace } from '../support/run-cli.ts';
import { ENTITY_LABELS, toyRows, writeRows } from '../support/toy-data.ts';
import { writeFixtureModel, writeToyModel } from '../support/toy-model.ts';
import { until } from '../support/until.ts';

const DEADLINE_MS = 60_000;

const workspace = await openWorkspace();
const at = (name: string) => workspace.path(name);

before(async () => {
  await writeToyModel(at('model'), { layers: 2, hidden: 48, heads: 4, neurons: 96 });
  await writeRows(at('train.jsonl'), toyRows('pair', { count: 300 }));
  await writeRows(at('dev.jsonl'), toyRows('pair', { count: 60, seed: 1 }));
});

/** Words of a run. */
function words(out: string, ...flags: string[]): string[] {
  const files = ['--data', at('train.jsonl'), '--eval', at('dev.jsonl'), '--out', at(out)];
  return [at('model'), ...files, '--samples', '128', '--method', 'gradual', ...flags];
}

/** What of a report may not depend on where and when the job ran, nor on the other budgets. */
function result({ seconds, latency, speed, workers, workerTimes, command, steps, ...rest }: PruneReport): object {
  assert.ok(seconds.gradual! > 0 && seconds.fisher === 0 && seconds.tune === 0);
  return { ...rest, steps: steps!.map(({ seconds: own, ...step }) => step) };
}

test('one, two and three workers give the same, and so does a budget alone', async () => {
  const both = await workspace.prune(...words('two', '--budget', '0.45,0.3', '--workers', '2'));
  const one = await workspace.pruneOnWorkers(1, ...words('one', '--budget', '0.3'));
  const three = await workspace.pruneOnWorkers(3, ...words('three', '--budget', '0.45'));
  assert.deepEqual(result(both[1]), result(one[0]));
  assert.deepEqual(result(both[0]), result(three[0]));
  const [at45, at30] = both.map(({ steps }) => steps!.map(({ share }) => share));
  assert.deepEqual(at45, [0.8, 0.65, 0.5, 0.45]);
  assert.deepEqual(at30, [0.8, 0.65, 0.5, 0.4, 0.35, 0.3]);
  for (const report of both) {
    const { macs, budget, steps, quality, heads } = report;
    assert.ok(macs.pruned <= budget * macs.dense && macs.pruned > 0.9 * budget * macs.dense);
    assert.deepEqual([steps!.at(-1)!.macs, steps!.at(-1)!.heads], [macs.pruned, heads]);
    assert.ok(quality.gradual !== null && quality.tune === null);
    for (const { divergence, refits } of steps!) {
      assert.ok(divergence! >= 0);
      assert.equal(refits.length, 4);
      // The projection as it was is among what is tried.
      for (const { heldOutBefore, heldOutAfter } of refits) assert.ok(heldOutAfter! <= heldOutBefore!);
    }
  }
});

/** Times of the toy model that nothing here can disturb: a model this small takes no longer with its neurons than without when
 * the machine is busy. */
const OTHER_MACHINE: LatencyTable = {
  ...{ schema: 1, runtime: 'onnxruntime 1.0.0', device: 'another, 8 cores', threads: 8, batchSize: 8, tokens: 16 },
  model: { type: 'bert', layers: 2, hiddenSize: 48, heads: 4, headSize: 12, intermediateSize: 96, activation: 'gelu' },
  attentionSeconds: [0.1, 0.3, 0.5, 0.7, 0.9],
  ffnSeconds: [0, 32, 64, 96].map((neurons) => ({ neurons, seconds: 0.1 + neurons / 100 })),
  restSeconds: 0.2,
};

test('a budget of time and an allowed loss over time go through steps of their own', async () => {
  await writeFile(at('table.json'), JSON.stringify(OTHER_MACHINE));
  const flags = ['--budget', '0.6', '--latency', '0.7', '--max-drop', '0.2', '--fastest', '--batch-size', '8'];
  flags.push('--length', '16', '--latency-table', at('table.json'), '--other-machine');
  const reports = await workspace.pruneOnWorkers(2, ...words('mixed', ...flags));
  const [byMacs, byTime, byDrop] = reports;
  assert.deepEqual(
    byMacs.steps!.map(({ share }) => share),
    [0.8, 0.65, 0.6],
  );
  assert.ok(byTime.latencyBudget!.predictedShare <= byTime.latencyBudget!.share + 1e-9);
  assert.equal(byTime.steps!.at(-1)!.share, byTime.latencyBudget!.share);
  const { written, candidates } = byDrop.maxDrop!;
  assert.equal(byDrop.steps!.at(-1)!.share, written.time);
  assert.ok(written.within && candidates[0].time === 0.8);
});

const TASKS = {
  'several labels': {
    rows: 'multi',
    labels: ['LABEL_0', 'LABEL_1', 'LABEL_2', 'LABEL_3'],
    write: 'hf-bert-multi-label',
    refit: 'all-weights',
  },
  numbers: { rows: 'regression', write: 'hf-bert-regression', refit: 'scales' },
  questions: { rows: 'question', write: 'hf-distilbert-question-answering', refit: 'all-weights' },
  entities: { rows: 'entities', labels: ENTITY_LABELS, write: null },
} as const;

for (const [name, { rows, write, ...own }] of Object.entries(TASKS))
  test(`${name}: each step tells its divergence, and the model scores what its report says`, async () => {
    const labels = 'labels' in own ? own.labels : [];
    const folder = at(name.replace(' ', '-'));
    const model = write
      ? await writeFixtureModel(folder, write)
      : await writeToyModel(folder, { head: 'TokenClassification', labels: ENTITY_LABELS });
    const data = await writeRows(`${folder}-train.jsonl`, toyRows(rows, { count: 60, labels }));
    const dev = await writeRows(`${folder}-dev.jsonl`, toyRows(rows, { count: 30, seed: 1, labels }));
    const refit = 'refit' in own ? own.refit : 'weights';
    const flags = ['--data', data, '--eval', dev, '--budget', '0.65', '--samples', '48', '--out', `${folder}-out`];
    flags.push('--refit', refit);
    const [report] = await workspace.prune(model, ...flags, '--method', 'gradual');
    assert.equal(report.steps!.length, 2);
    for (const { divergence } of report.steps!) assert.ok(divergence! > 0);
    assert.equal(report.gradual!.refit, refit);
    const found = await workspace.evaluate(`${folder}-out/0.65`, '--data', dev);
    assert.deepEqual(found.scores, report.scores.gradual);
  });

/** Resolves when the run of `out` has stored a part of the refit of a step. */
async function refitBegun(out: string, share: number): Promise<void> {
  const stages = at(`.${out}.espalier/stages`);
  await until(
    `a sub-layer of ${share} is refitted`,
    () => {
      const plan = existsSync(stages)
        ? readdirSync(stages).find((name) => /^plan-[0-9a-f]+-\d+$/.test(name))
        : undefined;
      return plan !== undefined && existsSync(`${stages}/${plan}/gradual-macs/${share}/refit-0.tensors.json`);
    },
    DEADLINE_MS,
  );
}

test('one of two workers killed in mid-refit, then all of the rest, then resumed: the same bits', async () => {
  await exampleData(workspace);
  const example = (out: string, ...flags: string[]) => [
    ...['prune', path.join(projectRoot(), 'examples/mini-sst2'), '--data', at('reviews.jsonl'), '--out', at(out)],
    ...['--budget', '0.65', '--samples', '128', '--method', 'gradual', '--json', ...flags],
  ];
  const digestOf = (stdout: string) => (JSON.parse(stdout) as { runs: { digest: string }[] }).runs[0].digest;
  const undisturbed = await workspace.runOnWorkers(example('undisturbed'), 2);
  assert.equal(undisturbed.code, 0, undisturbed.stderr);

  const run = workspace.start(example('killed', '--workers', '2'));
  await refitBegun('killed', 0.8);
  const members = family(run);
  process.kill(workersOf(run.pid)[1], 'SIGKILL');
  await refitBegun('killed', 0.65);
  for (const worker of workersOf(run.pid)) process.kill(worker, 'SIGKILL');
  const failed = await run.finished;
  assertFailed(failed, 'no_workers', 'no worker is left', '--resume');
  await noneLeft(members);

  const resumed = await workspace.runOnWorkers(example('killed', '--resume'));
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.equal(digestOf(resumed.stdout), digestOf(undisturbed.stdout));
  for (const stage of ['gradients', 'search 0.8', 'refit 0.8', 'divergence 0.8', 'search 0.65'])
    assert.match(resumed.stderr, new RegExp(`^${stage} +reused`, 'm'));
  assert.doesNotMatch(resumed.stderr, /^refit 0\.65 +reused/m);
});
