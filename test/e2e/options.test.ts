// What the flags of `prune` change, each against a run without it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { before, test } from 'node:test';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { openSafetensors } from '../../shared/safetensors.ts';
import { openWorkspace, readJson } from '../support/run-cli.ts';
import { toyRows, writeRows } from '../support/toy-data.ts';
import { writeToyModel } from '../support/toy-model.ts';

const workspace = await openWorkspace();
const LABELS = ['wilted', 'green', 'ripe'];
const LAYERS = 2;
const rows = toyRows('named', { count: 60, labels: LABELS });
const at = (name: string) => workspace.path(name);

let usual: PruneReport;
before(async () => {
  await writeToyModel(at('model'), { labels: LABELS, hidden: 32, heads: 4, neurons: 64 });
  await writeRows(at('train.jsonl'), rows);
  await writeRows(at('dev.jsonl'), toyRows('named', { count: 30, seed: 1, labels: LABELS }));
  // In processes of its own; the others are runs on one worker that stays up.
  [usual] = await prune('usual', { workers: '1' });
});

/** Prunes to one half by the published method with the evaluation data, unless the flags say otherwise; of a flag given twice the
 * later counts. */
function prune(out: string, flags: Readonly<Record<string, string | true | null>> = {}): Promise<PruneReport[]> {
  const all: Record<string, string | true | null> = {
    ...{ data: at('train.jsonl'), eval: at('dev.jsonl'), budget: '0.5', samples: '48', method: 'paper', out: at(out) },
    ...flags,
  };
  const words = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : value === true ? [`--${name}`] : [`--${name}`, value],
  );
  return workspace.prune(at('model'), ...words);
}

test('several budgets of one run are what runs of one budget each give', async () => {
  const reports = await prune('three', { budget: '0.3,0.5,.8' });
  assert.deepEqual(
    reports.map(({ budget }) => budget),
    [0.3, 0.5, 0.8],
  );
  assert.deepEqual(readdirSync(at('three')).sort(), ['0.3', '0.5', '0.8', 'report.html']);
  const [small, half, large] = reports;
  assert.equal(half.digest, usual.digest);
  assert.ok(small.macs.pruned < half.macs.pruned && half.macs.pruned < large.macs.pruned);
  for (const report of reports) {
    assert.ok(report.macs.pruned <= report.budget * report.macs.dense);
    assert.deepEqual(report.quality.dense, usual.quality.dense);
    assert.equal(report.seconds.fisher, small.seconds.fisher, 'one gradient pass for all');
  }
});

test('--method stops early, with the masks of the stages that ran and scales of 1', async () => {
  const [searched] = await prune('searched', { method: 'search' });
  const [rearranged] = await prune('rearranged', { method: 'rearrange' });
  assert.deepEqual(searched.quality, { ...usual.quality, rearrange: null, tune: null });
  assert.deepEqual(rearranged.quality, { ...usual.quality, tune: null });
  // Rearranging swaps within a layer and tuning only scales, so the counts are those of the search.
  for (const report of [searched, rearranged]) {
    assert.deepEqual([report.heads, report.neurons, report.tuning], [usual.heads, usual.neurons, []]);
    assert.deepEqual([report.macs, report.parameters], [usual.macs, usual.parameters]);
  }
  const masks = (out: string) => readJson<Record<string, number[][]>>(at(out), '0.5/masks.json');
  assert.deepEqual(masks('rearranged').neurons, masks('usual').neurons);
  assert.ok(
    masks('searched')
      .neuron_scales.flat()
      .every((scale) => scale === 1),
  );
  assert.ok(
    masks('usual')
      .neuron_scales.flat()
      .some((scale) => scale !== 1),
  );
});

test('--labels model needs no labels, and gives the same for the same seed', async () => {
  await writeRows(
    at('bare.jsonl'),
    rows.map(({ sentence }) => ({ sentence })),
  );
  const [bare] = await prune('bare', { data: at('bare.jsonl'), labels: 'model' });
  const [again] = await prune('bare-again', { data: at('bare.jsonl'), labels: 'model' });
  const [labelled] = await prune('labelled', { labels: 'model' });
  assert.equal(bare.labels, 'model');
  assert.equal(again.digest, bare.digest);
  assert.equal(labelled.digest, bare.digest, 'labels that the file has are not used');
  assert.equal(usual.labels, 'data');
  assert.notEqual(usual.digest, bare.digest);
});

test('labels may be numbers, CSV and TSV hold the same rows, and columns may be named', async () => {
  const numbered = rows.map((row) => ({ ...row, label: LABELS.indexOf(row.label as string) }));
  await writeRows(at('numbered.jsonl'), numbered);
  await writeRows(at('train.csv'), rows);
  await writeRows(at('train.tsv'), numbered);
  const renamed = rows.map((row) => ({ note: 'not this', phrase: row.sentence, sense: row.label }));
  await writeRows(at('renamed.csv'), renamed);
  for (const data of ['numbered.jsonl', 'train.csv', 'train.tsv']) {
    const [report] = await prune(`from-${data}`, { data: at(data) });
    assert.equal(report.digest, usual.digest, data);
  }
  const columns = { 'text-column': 'phrase', 'label-column': 'sense' };
  const [report] = await prune('renamed', { data: at('renamed.csv'), eval: null, ...columns });
  assert.equal(report.digest, usual.digest);
});

test('without --eval nothing is measured and the model is the same', async () => {
  const [report] = await prune('unmeasured', { eval: null });
  assert.deepEqual(report.quality, { dense: null, search: null, rearrange: null, tune: null, gradual: null });
  assert.equal(report.metric, null);
  assert.equal(report.evaluation, null);
  assert.equal(report.digest, usual.digest);
});

test('--fisher-group 1 gives more rows than a layer has neurons', async () => {
  // 60 samples fill 60 rows, a layer of 40 neurons has fewer: the Gram form.
  const model = await writeToyModel(at('narrow'), { labels: LABELS });
  const data = ['--data', at('train.jsonl'), '--eval', at('dev.jsonl'), '--budget', '0.5', '--method', 'paper'];
  const [alone] = await workspace.prune(model, ...data, '--fisher-group', '1', '--out', at('alone'));
  assert.equal(alone.fisherGroup, 1);
  assert.equal(alone.samples, 60);
  assert.ok(alone.neurons.length === LAYERS && alone.samples > 40);
  const [grouped] = await workspace.prune(model, ...data, '--out', at('grouped'));
  assert.equal(grouped.fisherGroup, 32);
  assert.notEqual(alone.digest, grouped.digest);
  assert.deepEqual(alone.quality.dense, grouped.quality.dense);
});

test('--replacement draws more samples than there are rows', async () => {
  const [report] = await prune('replaced', { replacement: true, samples: '150' });
  assert.equal(report.replacement, true);
  assert.equal(report.samples, 150);
  const [without] = await prune('all', { samples: '150' });
  assert.equal(without.samples, rows.length);
  assert.notEqual(report.plan, without.plan);
});

test('--dtype decides the type of the written weights; masks do not depend on it', async () => {
  const types = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
  for (const [name, dtype] of Object.entries(types)) {
    const [report] = await prune(name, { dtype: name });
    assert.equal(report.dtype, dtype);
    assert.deepEqual(report.heads, usual.heads);
    const file = await openSafetensors(`${at(name)}/0.5/model.safetensors`);
    try {
      assert.deepEqual([...new Set([...file.entries.values()].map((entry) => entry.dtype))], [dtype]);
    } finally {
      await file.close();
    }
    assert.equal(readJson<{ dtype: string }>(at(name), '0.5/config.json').dtype, name);
    assert.deepEqual(readJson(at(name), '0.5/masks.json'), readJson(at('usual'), '0.5/masks.json'));
    const found = await workspace.evaluate(`${at(name)}/0.5`, '--data', at('dev.jsonl'));
    assert.equal(found.scores.accuracy, report.quality.tune, 'what the report says is of the model as written');
  }
  // The input is float32, and the usual output is as the input.
  assert.equal(usual.dtype, 'F32');
  assert.equal(readJson<PruneReport>(at('float32'), '0.5/report.json').digest, usual.digest);
});

test('--onnx writes a file beside the model and measures that file', async () => {
  for (const [type, scored] of [
    ['float32', usual.scores.tune],
    ['float16', null],
  ] as const) {
    const [report] = await prune(`onnx-${type}`, { onnx: type === 'float32' ? true : type });
    assert.equal(report.digest, usual.digest, 'the model is the same');
    const { onnx } = report;
    assert.equal(onnx?.dtype, type);
    assert.deepEqual(
      onnx.files.map(({ name }) => name),
      ['model.onnx'],
    );
    const bytes = await readFile(at(`onnx-${type}/0.5/model.onnx`));
    assert.equal(onnx.files[0].bytes, bytes.length);
    assert.equal(onnx.files[0].sha256, createHash('sha256').update(bytes).digest('hex'));
    // In float32 no answer changes; in float16 few may.
    if (scored !== null) assert.deepEqual(onnx.scores, scored);
    else assert.ok(Math.abs(onnx.scores!.accuracy - usual.scores.tune.accuracy) <= 0.1);
    // What `espalier export` makes of the folder is this file.
    const out = at(`again-${type}.onnx`);
    const again = await workspace.runHere(['export', at(`onnx-${type}/0.5`), '--out', out, '--dtype', type]);
    assert.equal(again.code, 0, again.stderr);
    assert.ok(bytes.equals(await readFile(out)));
  }
  assert.equal(usual.onnx, null);
  const [unmeasured] = await prune('onnx-unmeasured', { onnx: true, eval: null, method: 'search' });
  assert.equal(unmeasured.onnx?.scores, null);
});

test('--macs-length counts MACs at that length', async () => {
  const [report] = await prune('longer', { 'macs-length': '32' });
  assert.equal(report.macsLength, 32);
  assert.ok(report.macs.dense > usual.macs.dense);
  assert.ok(report.macs.pruned <= 0.5 * report.macs.dense);
  assert.ok(usual.macsLength < 32);
});

test('--metric reports another one first', async () => {
  const [report] = await prune('f1', { metric: 'f1' });
  assert.equal(report.metric, 'f1');
  assert.equal(report.quality.tune, report.scores.tune.f1);
  assert.deepEqual(report.scores.tune, usual.scores.tune);
});

test('--damping reference gives another model with the same counts', async () => {
  const [report] = await prune('published', { damping: 'reference' });
  assert.equal(report.damping, 'reference');
  assert.deepEqual([report.heads, report.neurons], [usual.heads, usual.neurons]);
  assert.notEqual(report.digest, usual.digest);
});

test('--search knapsack keeps neurons in multiples, within the budget', async () => {
  const [report] = await prune('multiples', { search: 'knapsack', 'neuron-multiple': '16' });
  assert.deepEqual([report.search, report.neuronMultiple, report.uniform], ['knapsack', 16, false]);
  assert.ok(report.macs.pruned <= 0.5 * report.macs.dense);
  for (const neurons of report.neurons) assert.equal(neurons % 16, 0);
  assert.ok(
    usual.neurons.some((neurons) => neurons % 16 !== 0),
    'which the paper search does not by itself',
  );
  assert.deepEqual([usual.search, usual.neuronMultiple, usual.uniform], ['paper', 1, false]);
});

test('--uniform: a stock config.json, all heads, as many neurons everywhere as the budget buys', async () => {
  const [report] = await prune('uniform', { uniform: true, budget: '0.8', 'neuron-multiple': '8' });
  assert.deepEqual([report.search, report.uniform], ['uniform', true]);
  assert.deepEqual(report.heads, [4, 4]);
  const [neurons] = report.neurons;
  assert.deepEqual(report.neurons, [neurons, neurons]);
  const perNeuron = (2 * 2 * report.macsLength * 32) / report.macs.dense;
  const share = report.macs.pruned / report.macs.dense;
  assert.ok(neurons % 8 === 0 && share <= 0.8 && share + 8 * perNeuron > 0.8);
  const dense = readJson<object>(at('model'), 'config.json');
  assert.deepEqual(readJson(at('uniform'), '0.8/config.json'), {
    ...dense,
    dtype: 'float32',
    intermediate_size: neurons,
  });
  const found = await workspace.evaluate(`${at('uniform')}/0.8`, '--data', at('dev.jsonl'));
  assert.equal(found.scores.accuracy, report.quality.tune);
});

test('the folder holds all that a user of the model needs', () => {
  assert.deepEqual(readdirSync(at('usual/0.5')).sort(), [
    'README.md',
    'config.json',
    'espalier_model.py',
    'masks.json',
    'model.safetensors',
    'report.json',
    'vocab.txt',
  ]);
  assert.ok(!existsSync(at('.usual.espalier')));
});
