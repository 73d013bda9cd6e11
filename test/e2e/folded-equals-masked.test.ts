// The written model, small dense matrices with scales folded in, gives the outputs of the dense model under its masks
// and scales. Both run in float32 and differ only in where a scale is multiplied and in the order of sums over kept
// units: 1e-4 is the promise, on logits of a size around 1.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import { loadDataset } from '../../dataset/load-dataset.ts';
import { loadTextTokenizer } from '../../dataset/text-tokenizer.ts';
import type { Masks } from '../../pruning/masks.ts';
import { runEvaluate } from '../../worker/tasks/evaluate.ts';
import { localModel, testContext, testPlan } from '../support/engine.ts';
import { openWorkspace, readJson } from '../support/run-cli.ts';
import { type ToyKind, toyRows, writeRows } from '../support/toy-data.ts';
import { type ToyModel, writeToyModel } from '../support/toy-model.ts';

const TOLERANCE = 1e-4;

interface Case {
  readonly model: ToyModel;
  readonly rows: ToyKind;
  readonly budgets: string;
}

const CASES: Readonly<Record<string, Case>> = {
  'a classifier': {
    model: { layers: 3, hidden: 32, heads: 4, neurons: 64, seed: 2 },
    rows: 'sentence',
    budgets: '0.5,0.1,0.02,0.005',
  },
  'a model for questions': { model: { head: 'QuestionAnswering', seed: 3 }, rows: 'question', budgets: '0.5,0.02' },
  'a roberta': { model: { modelType: 'roberta', layers: 3, seed: 4 }, rows: 'sentence', budgets: '0.5,0.1' },
  'a distilbert': { model: { modelType: 'distilbert', layers: 3, seed: 5 }, rows: 'sentence', budgets: '0.3' },
};

const workspace = await openWorkspace();
/** Kept heads and neurons by layer of every model that was compared. */
const compared: { heads: readonly number[]; neurons: readonly number[] }[] = [];

for (const [name, { model, rows, budgets }] of Object.entries(CASES)) {
  test(`${name}, ${budgets}`, async () => {
    const at = (file: string) => workspace.path(`${name.replaceAll(' ', '-')}-${file}`);
    const dense = await writeToyModel(at('dense'), model);
    const data = await writeRows(at('train.jsonl'), toyRows(rows, { count: 64 }));
    const dev = await writeRows(at('dev.jsonl'), toyRows(rows, { count: 32, seed: 1 }));
    const reports = await workspace.prune(
      ...[dense, '--data', data, '--eval', dev, '--budget', budgets, '--method', 'paper', '--stride', '6'],
      ...['--dtype', 'float32', '--out', at('out')],
    );
    for (const [i, report] of reports.entries()) {
      const folder = path.join(at('out'), budgets.split(',')[i]);
      const masked = await logitsOn(dense, dev, readMasks(folder));
      const folded = await logitsOn(folder, dev, null);
      assert.ok(largestGap(masked, folded) < TOLERANCE, `gap ${largestGap(masked, folded)} at ${report.budget}`);
      // Control: the masks do something, so the comparison is not of the dense model with itself.
      const unmasked = await logitsOn(dense, dev, null);
      assert.ok(largestGap(unmasked, folded) > 100 * TOLERANCE);
      compared.push(report);
    }
  });
}

test('among them were layers with no head and with no neuron, and with one', () => {
  const heads = compared.flatMap((report) => report.heads);
  const neurons = compared.flatMap((report) => report.neurons);
  for (const count of [0, 1]) {
    assert.ok(heads.includes(count), `heads by layer: ${heads}`);
    assert.ok(neurons.includes(count), `neurons by layer: ${neurons}`);
  }
});

function readMasks(folder: string): Masks {
  const json = readJson<Record<'heads' | 'neurons' | 'head_scales' | 'neuron_scales', number[][]>>(
    folder,
    'masks.json',
  );
  return {
    layers: json.heads.length,
    heads: json.heads[0].length,
    neurons: json.neurons[0].length,
    headMask: Uint8Array.from(json.heads.flat()),
    neuronMask: Uint8Array.from(json.neurons.flat()),
    headScales: Float32Array.from(json.head_scales.flat()),
    neuronScales: Float32Array.from(json.neuron_scales.flat()),
  };
}

async function logitsOn(folder: string, data: string, masks: Masks | null): Promise<Float32Array> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const { config } = checkpoint;
    const tokenizer = await loadTextTokenizer(folder, config);
    const options = { columns: {}, maxTokens: null, stride: 6, requireLabels: true };
    const { samples } = (await loadDataset({ path: data, config, tokenizer, ...options })).encode(null);
    const plan = testPlan(samples);
    const shards = { first: 0, end: plan.shards.length };
    const student = masks && { masks, patches: [] };
    const [logits] = await runEvaluate(testContext(), { model: await localModel(folder), plan, shards, student });
    return logits.data as Float32Array;
  } finally {
    await checkpoint.close();
  }
}

function largestGap(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}
