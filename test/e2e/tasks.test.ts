// Every architecture and task, from a folder and a data file to a smaller model that scores what its report says.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { CheckpointDescription } from '../../checkpoint/inspect.ts';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';
import { openWorkspace, readJson } from '../support/run-cli.ts';
import { ENTITY_LABELS, type ToyKind, toyRows, writeRows } from '../support/toy-data.ts';
import { writeFixtureModel, writeToyModel } from '../support/toy-model.ts';

interface Case {
  readonly rows: ToyKind;
  readonly task: string;
  readonly metric: string;
  readonly labels?: readonly string[];
  readonly write: (folder: string) => Promise<string>;
}

const THREE = ['LABEL_0', 'LABEL_1', 'LABEL_2'];
const CLASSES = { rows: 'sentence', task: 'single-label-classification', metric: 'accuracy', labels: THREE } as const;
const QUESTIONS = { rows: 'question', task: 'question-answering', metric: 'f1' } as const;
const ENTITIES = { rows: 'entities', task: 'token-classification', metric: 'f1' } as const;
const fixture = (name: string) => (folder: string) => writeFixtureModel(folder, name);

const CASES: Readonly<Record<string, Case>> = {
  'bert classification': { ...CLASSES, write: fixture('hf-bert-classification') },
  'bert pairs, relu': { ...CLASSES, rows: 'pair', labels: THREE.slice(0, 2), write: fixture('hf-bert-relu') },
  'bert named labels': {
    ...CLASSES,
    rows: 'named',
    labels: ['wilted', 'green', 'ripe'],
    write: (folder) =>
      writeToyModel(folder, { labels: ['wilted', 'green', 'ripe'], layers: 3, hidden: 32, heads: 4, neurons: 64 }),
  },
  'bert multi-label': {
    rows: 'multi',
    task: 'multi-label-classification',
    metric: 'f1',
    labels: [...THREE, 'LABEL_3'],
    write: fixture('hf-bert-multi-label'),
  },
  'bert regression': {
    rows: 'regression',
    task: 'regression',
    metric: 'spearman',
    write: fixture('hf-bert-regression'),
  },
  'bert questions': { ...QUESTIONS, write: fixture('hf-bert-question-answering') },
  'bert entities': {
    ...ENTITIES,
    write: (folder) => writeToyModel(folder, { head: 'TokenClassification', labels: ENTITY_LABELS }),
  },
  'distilbert classification': { ...CLASSES, write: fixture('hf-distilbert-classification') },
  'distilbert questions': { ...QUESTIONS, write: fixture('hf-distilbert-question-answering') },
  'distilbert entities': {
    ...ENTITIES,
    write: (folder) =>
      writeToyModel(folder, { modelType: 'distilbert', head: 'TokenClassification', labels: ENTITY_LABELS }),
  },
  'roberta classification': { ...CLASSES, write: fixture('hf-roberta-classification') },
  'roberta questions': { ...QUESTIONS, write: fixture('hf-roberta-question-answering') },
  'roberta entities': {
    ...ENTITIES,
    write: (folder) =>
      writeToyModel(folder, { modelType: 'roberta', head: 'TokenClassification', labels: ENTITY_LABELS }),
  },
  'xlm-roberta classification': {
    ...CLASSES,
    labels: ['LABEL_0', 'LABEL_1'],
    write: fixture('hf-xlm-roberta-classification'),
  },
  'camembert regression': {
    rows: 'regression',
    task: 'regression',
    metric: 'spearman',
    write: (folder) => writeToyModel(folder, { modelType: 'camembert', labels: ['score'] }),
  },
};

const workspace = await openWorkspace();

for (const [name, { rows, task, metric, labels = [], write }] of Object.entries(CASES)) {
  test(`${name}: pruned, reported, loaded and measured again`, async () => {
    const folder = name.replaceAll(/\W+/g, '-');
    const model = await write(workspace.path(folder));
    const data = await writeRows(workspace.path(`${folder}-train.jsonl`), toyRows(rows, { count: 80, labels }));
    const dev = await writeRows(workspace.path(`${folder}-dev.jsonl`), toyRows(rows, { count: 40, seed: 1, labels }));
    const out = workspace.path(`${folder}-pruned`);
    const stride = task === 'question-answering' ? ['--stride', '6'] : [];
    const [report, ...others] = await workspace.prune(
      ...[
        model,
        '--data',
        data,
        '--eval',
        dev,
        '--budget',
        '0.5',
        '--samples',
        '64',
        '--method',
        'paper',
        '--out',
        out,
        ...stride,
      ],
    );

    assert.equal(others.length, 0);
    assert.deepEqual(readJson(out, '0.5/report.json'), report);
    assert.equal(report.task, task);
    assert.equal(report.metric, metric);
    assertComplete(report, `${out}/0.5`);

    const found = await workspace.evaluate(`${out}/0.5`, '--data', dev, ...stride);
    assert.equal(found.metric, metric);
    assert.deepEqual(found.scores, report.scores.tune);
    assert.equal(found.scores[metric], report.quality.tune);

    const inspected = await workspace.runHere(['inspect', `${out}/0.5`, '--json']);
    const described = JSON.parse(inspected.stdout) as CheckpointDescription;
    assert.equal(described.pruned, true);
    assert.equal(described.task, task);
    assert.equal(described.parameters, report.parameters.pruned);
    assert.deepEqual(described.headsByLayer, report.heads);
    assert.deepEqual(described.neuronsByLayer, report.neurons);
  });
}

test('without --json evaluate and inspect print tables', async () => {
  const model = await writeToyModel(workspace.path('table'));
  const data = await writeRows(workspace.path('table.jsonl'), toyRows('sentence', { count: 10 }));
  const evaluated = await workspace.run(['evaluate', model, '--data', data, '--workers', '1']);
  assert.equal(evaluated.code, 0, evaluated.stderr);
  assert.match(evaluated.stdout, /^accuracy +\d\.\d{4}$/m);
  const inspected = await workspace.run(['inspect', model]);
  assert.equal(inspected.code, 0, inspected.stderr);
  assert.match(inspected.stdout, /^pruned +no$/m);
  assert.match(inspected.stdout, /^heads by layer +3 3$/m);
  assert.equal(inspected.stderr, '');
});

/** Every promised field is there, with a value that makes sense beside what was written. */
function assertComplete(report: PruneReport, folder: string): void {
  assert.equal(report.espalier, espalierVersion());
  assert.equal(report.seed, 0);
  assert.equal(report.samples, 64);
  assert.equal(report.budget, 0.5);
  assert.equal(report.workers, 1);
  for (const stage of ['dense', 'search', 'rearrange', 'tune'] as const)
    assert.ok(Number.isFinite(report.quality[stage]), `quality.${stage}: ${report.quality[stage]}`);
  for (const stage of ['load', 'fisher', 'search', 'rearrange', 'tune', 'evaluate', 'total'] as const)
    assert.ok(report.seconds[stage] > 0, `seconds.${stage}: ${report.seconds[stage]}`);
  assert.ok(report.seconds.total >= report.seconds.fisher + report.seconds.tune);
  assert.ok(report.macs.pruned > 0 && report.macs.pruned <= 0.5 * report.macs.dense);
  assert.ok(report.parameters.pruned < report.parameters.dense);
  assert.ok(report.bytes.pruned < report.bytes.dense);
  assert.ok(report.latency !== null && report.latency.denseSeconds > 0 && report.latency.prunedSeconds > 0);

  const weights = readFileSync(`${folder}/model.safetensors`);
  assert.equal(report.digest, createHash('sha256').update(weights).digest('hex'));
  assert.equal(report.bytes.pruned, weights.byteLength);

  const masks = readJson<{ heads: number[][]; neurons: number[][] }>(folder, 'masks.json');
  const kept = (rows: number[][]) => rows.map((row) => row.filter((bit) => bit === 1).length);
  assert.deepEqual(kept(masks.heads), report.heads);
  assert.deepEqual(kept(masks.neurons), report.neurons);
  const config = readJson<{ espalier: { heads: number[]; neurons: number[] } }>(folder, 'config.json');
  assert.deepEqual(config.espalier.heads, report.heads);
  assert.deepEqual(config.espalier.neurons, report.neurons);

  for (const { rung, heldOutBefore, heldOutAfter, kept: count, layer, subLayer } of report.tuning) {
    assert.equal(count, (subLayer === 'attention' ? report.heads : report.neurons)[layer]);
    if (rung !== 'unscaled') assert.ok(heldOutAfter! <= heldOutBefore!, 'tuning never makes the residual larger');
  }
}
