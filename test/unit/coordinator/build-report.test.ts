// report.json: every figure comes from where it was measured, and what was not measured is null.
import assert from 'node:assert/strict';
import test from 'node:test';
import { buildReport, type FinishedJob } from '../../../coordinator/job/build-report.ts';
import type { PruneInputs } from '../../../coordinator/job/prune-inputs.ts';
import { maskedStudent } from '../../../coordinator/job/student.ts';
import type { PruneSettings } from '../../../coordinator/prune-settings.ts';
import type { MeasuredBudget } from '../../../coordinator/stages/export.ts';
import type { MeasuredSpeed } from '../../../coordinator/stages/latency.ts';
import { planSamples } from '../../../coordinator/stages/plan.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { espalierVersion } from '../../../shared/rpc/version.ts';
import { benchSettings } from '../../bench/bench-settings.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { samplesOf } from '../dataset/samples.ts';
import { modelConfig } from './configs.ts';

const BUDGETS = [
  { text: '0.50', value: 0.5 },
  { text: '0.3', value: 0.3 },
];

const SETTINGS: PruneSettings = {
  ...benchSettings({ model: 'models/toy/', data: 'd', out: 'o', samples: 9, workers: '1', device: 'cpu' }),
  budgets: BUDGETS,
  evaluation: 'e',
  search: 'knapsack',
  neuronMultiple: 16,
  seed: 11,
};

const CONFIG = modelConfig();
const INPUTS = {
  model: {
    checkpoint: { config: CONFIG, parameters: 5000, dtype: 'F16' },
    digest: { digest: 'model digest', files: [{ bytes: 600 }, { bytes: 400 }] },
  },
  data: { digest: 'data digest', rows: 100 },
  drawn: { truncated: 2 },
  evaluation: { dataset: { digest: 'evaluation digest', rows: 50 }, encoded: { truncated: 1 } },
  costs: { tokens: 12.5, headCost: 1, neuronCost: 1, totalMacs: 1000, smallest: 0.001 },
  groupSize: 32,
} as unknown as PruneInputs;

const scores = (accuracy: number) => ({ primary: 'accuracy', values: { accuracy, f1: accuracy / 2 } });

function measured(budget: (typeof BUDGETS)[number], accuracy: number): MeasuredBudget {
  return {
    budget,
    dtype: 'F16',
    model: { config: CONFIG, ref: { configJson: '', weights: [] }, blobs: [] },
    onnx: null,
    bytes: 700,
    digest: `digest at ${budget.text}`,
    scores: scores(accuracy),
    seconds: 4,
    result: {
      ...maskedStudent(denseMasks(2, 2, 6)),
      tuning: [],
      heads: [1, 2],
      neurons: [3, 0],
      macs: 1000 * budget.value,
      parameters: 3000,
      seconds: { search: 1, rearrange: 2, tune: 3, evaluate: 10 },
      before: {},
      scores: { search: scores(0.6), rearrange: scores(0.7) },
    },
  };
}

const SPEED = (['onnxruntime', 'engine'] as const).map(
  (runtime): MeasuredSpeed => ({
    ...{
      runtime,
      version: '1',
      provider: 'cpu',
      machine: 'toy, 2 cores',
      threads: 2,
      batchSize: 8,
      tokens: 4,
      repeats: 15,
    },
    input: 'valid token ids, no padding',
    dense: { median: 0.5, p10: 0.4, p90: 0.6 },
    pruned: { median: 0.2, p10: 0.1, p90: 0.3 },
    ratio: 0.4,
  }),
);

const JOB: FinishedJob = {
  tokensPerBatch: 64,
  calibration: planSamples(samplesOf([3, 4, 5]), {
    ...{ config: CONFIG, device: FAKE_DEVICE, groupSize: 1, tokensPerBatch: 64, heldOut: true },
  }),
  dense: scores(0.9),
  importance: { heads: [2, 1], neurons: [0.5, 0.25] },
  fisherSeconds: 7,
  denseSeconds: 100,
  speed: [SPEED.map((own) => ({ ...own, ratio: 0.9 })), SPEED],
  latencyBudgets: [null, null],
  budgets: [measured(BUDGETS[0], 0.8), measured(BUDGETS[1], 0.75)],
};

const WORKERS = {
  ...{ count: 2, deviceClass: FAKE_DEVICE },
  workerTimes: [{ worker: 1, tasks: 3, seconds: { fisher: 1.5 } }],
};
const SECONDS = { load: 5, total: 200 };

test('every field', () => {
  assert.deepEqual(buildReport(SETTINGS, INPUTS, WORKERS, JOB, JOB.budgets[1], SECONDS), {
    espalier: espalierVersion(),
    schema: 2,
    model: { name: 'toy', digest: 'model digest', type: 'bert' },
    data: { name: 'd', digest: 'data digest', rows: 100, truncated: 2 },
    evaluation: { name: 'e', digest: 'evaluation digest', rows: 50, truncated: 1 },
    // What was left to the command is spelt out; the output's own name is not told.
    command: [
      ...[
        'prune',
        'models/toy',
        '--data',
        'd',
        '--eval',
        'e',
        '--budget',
        '0.50,0.3',
        '--seed',
        '11',
        '--samples',
        '9',
      ],
      ...['--labels', 'data', '--method', 'paper', '--damping', 'ridge'],
      ...['--search', 'knapsack', '--neuron-multiple', '16', '--stride', '128'],
      ...['--runtime', 'onnxruntime', '--batch-size', '8', '--out', 'pruned'],
    ],
    seed: 11,
    samples: 3,
    replacement: false,
    fisherGroup: 32,
    labels: 'data',
    method: 'paper',
    damping: 'ridge',
    search: 'knapsack',
    neuronMultiple: 16,
    uniform: false,
    budget: 0.3,
    task: 'single-label-classification',
    metric: 'accuracy',
    quality: { dense: 0.9, search: 0.6, rearrange: 0.7, tune: 0.75, gradual: null },
    scores: {
      dense: { accuracy: 0.9, f1: 0.45 },
      search: { accuracy: 0.6, f1: 0.3 },
      rearrange: { accuracy: 0.7, f1: 0.35 },
      tune: { accuracy: 0.75, f1: 0.375 },
    },
    macs: { dense: 1000, pruned: 300 },
    macsLength: 12.5,
    parameters: { dense: 5000, pruned: 3000 },
    bytes: { dense: 1000, pruned: 700 },
    importance: { heads: [2, 1], neurons: [0.5, 0.25] },
    denseLayer: { heads: CONFIG.heads, neurons: CONFIG.intermediateSize },
    heads: [1, 2],
    neurons: [3, 0],
    tuning: [],
    // The engine's, of the second budget.
    latency: { batchSize: 8, tokens: 4, repeats: 15, denseSeconds: 0.5, prunedSeconds: 0.2 },
    speed: SPEED,
    seconds: { load: 5, fisher: 7, search: 1, rearrange: 2, tune: 3, evaluate: 114, total: 200 },
    workers: 2,
    workerTimes: [{ worker: 1, tasks: 3, seconds: { fisher: 1.5 } }],
    deviceClass: { ...FAKE_DEVICE },
    tokensPerBatch: 64,
    plan: JOB.calibration.blob.digest,
    dtype: 'F16',
    digest: 'digest at 0.3',
    onnx: null,
  });
});

test('nothing evaluated: no metric, no scores', () => {
  const [one] = JOB.budgets;
  const unmeasured = { ...one, scores: null, seconds: 0, result: { ...one.result, scores: {} } };
  const job = { ...JOB, dense: null, denseSeconds: 0, budgets: [unmeasured] };
  const report = buildReport(SETTINGS, { ...INPUTS, evaluation: null }, WORKERS, job, unmeasured, SECONDS);
  assert.equal(report.evaluation, null);
  assert.equal(report.metric, null);
  assert.deepEqual(report.quality, { dense: null, search: null, rearrange: null, tune: null, gradual: null });
  assert.deepEqual(report.scores, {});
});

test('a job that ends before tuning: what it wrote is measured as its last stage', () => {
  const [one] = JOB.budgets;
  const found = { ...one, result: { ...one.result, scores: { search: scores(0.6) } } };
  const settings = { ...SETTINGS, method: 'rearrange' as const };
  const report = buildReport(settings, INPUTS, WORKERS, { ...JOB, budgets: [found] }, found, SECONDS);
  assert.deepEqual(report.quality, { dense: 0.9, search: 0.6, rearrange: 0.8, tune: null, gradual: null });
});
