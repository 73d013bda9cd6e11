// From a spec to what the stages are asked: nothing is lost on the way, and every problem is told at once.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { GatheredInputs } from '../../../coordinator/job/cluster-inputs.ts';
import type { JobSpec } from '../../../coordinator/jobs/job-record.ts';
import { pruneRequest } from '../../../coordinator/jobs/job-settings.ts';

const input = (path: string) => ({ path, label: path, known: new Map() });
const INPUTS: GatheredInputs = {
  model: input('/scratch/model'),
  data: input('/scratch/data/data.jsonl'),
  evaluation: input('/scratch/evaluation/data.csv'),
};
const SOURCE = { kind: 'blobs', label: 'x', files: [] } as const;
const SPEC: JobSpec = {
  ...{ model: SOURCE, data: SOURCE, evaluation: SOURCE },
  columns: { text: 'review', label: 'stars' },
  budgets: [
    { text: '0.50', value: 0.5 },
    { text: '0.3', value: 0.3 },
  ],
  ...{ seed: 4_294_967_295, samples: 100, replacement: true, fisherGroup: 4, labels: 'model', method: 'rearrange' },
  ...{ damping: 'reference', macsLength: 40, maxLength: 64, stride: 0, metric: 'f1', dtype: 'BF16', onnx: 'F16' },
  timing: { runtime: 'engine', batchSizes: [1, 4], lengths: [16], threads: 2 },
  ...{ search: 'knapsack', neuronMultiple: 32 },
};

test('everything that a spec says', () => {
  const { model, data, evaluation, ...rest } = pruneRequest(SPEC, INPUTS);
  assert.deepEqual(
    [model, data, evaluation],
    ['/scratch/model', '/scratch/data/data.jsonl', '/scratch/evaluation/data.csv'],
  );
  const { model: _model, data: _data, evaluation: _evaluation, ...expected } = SPEC;
  assert.deepEqual(rest, expected);
});

test('settings of the gradual method, which older specs do not have', () => {
  const gradual = { steps: 'one', positionWeights: 'equal' } as const;
  const spec: JobSpec = { ...SPEC, method: 'gradual', damping: 'ridge', fisherGroup: null };
  assert.deepEqual(pruneRequest({ ...spec, gradual }, INPUTS).gradual, gradual);
  assert.ok(!('gradual' in pruneRequest(spec, INPUTS)));
});

test('a spec of a version that knew one search', () => {
  const { search: _search, neuronMultiple: _neuronMultiple, ...older } = SPEC;
  const { search, neuronMultiple } = pruneRequest(older, INPUTS);
  assert.deepEqual([search, neuronMultiple], ['paper', 1]);
});

test('budgets of what may be lost, with a metric that nothing else asks for', () => {
  const budgets = [SPEC.budgets[0], { text: 'max-drop-0.01', value: 0.01, kind: 'max-drop' as const }];
  const spec: JobSpec = { ...SPEC, budgets, labels: 'data', evaluation: null, maxDropConfidence: 0.9 };
  const request = pruneRequest(spec, { ...INPUTS, evaluation: null });
  assert.deepEqual([request.budgets, request.maxDropConfidence, request.metric], [budgets, 0.9, 'f1']);
});

test('no evaluation data', () => {
  const request = pruneRequest({ ...SPEC, evaluation: null, metric: null }, { ...INPUTS, evaluation: null });
  assert.equal(request.evaluation, null);
});

test('timing without a batch, which measures no speed', () => {
  const timing = { ...SPEC.timing!, batchSizes: [] };
  assert.deepEqual(pruneRequest({ ...SPEC, timing }, INPUTS).timing, timing);
});

for (const [what, change, message] of [
  ['budgets that are no fractions', { budgets: [{ text: '../x', value: 0.5 }] }, /^budgets: got \.\.\/x, expected a /],
  ['a text that says another number', { budgets: [{ text: '0.4', value: 0.5 }] }, /^budgets: got 0\.4, /],
  ['a budget of all', { budgets: [{ text: '1', value: 1 }] }, /^budgets: got 1, /],
  ['no budgets', { budgets: [] }, /^budgets: got 0, expected 1 to 63$/],
  [
    'equal budgets',
    { budgets: [SPEC.budgets[0], { text: '0.5', value: 0.5 }] },
    /^budgets: got 0\.50, 0\.5, expected distinct/,
  ],
  ['half a sample', { samples: 0.5 }, /^samples: got 0\.5, expected a whole number from 1 /],
  ['a seed below zero', { seed: -1 }, /^seed: got -1, /],
  [
    'a Fisher group of a gradual job',
    { method: 'gradual', damping: 'ridge', fisherGroup: 4 },
    /^fisher-group: got 4 with the method gradual/,
  ],
  [
    'damping of a gradual job',
    { method: 'gradual', damping: 'reference', fisherGroup: null },
    /^damping: got reference with the method gradual/,
  ],
  [
    'a step of another method',
    { gradual: { steps: 'one' } },
    /^gradual-steps: got one with the method rearrange, which prunes once; expected the method gradual, or no gradual-steps$/,
  ],
  [
    'settings of the gradual method that no version had',
    {
      ...{ method: 'gradual', damping: 'ridge', fisherGroup: null },
      gradual: { steps: 'two', __proto__x: 'a', positionWeights: 'equal' },
    },
    /^gradual-steps: got two, expected one of grid, one; gradual: got __proto__x, expected one of steps, /,
  ],
  [
    'a split of the knapsack search',
    {
      ...{ method: 'gradual', damping: 'ridge', fisherGroup: null, search: 'knapsack' },
      gradual: { split: 'divergence' },
    },
    /^split: got divergence with the search knapsack, expected the paper's, or the split importance$/,
  ],
  [
    'an unknown method',
    { method: 'retrain' },
    /^method: got retrain, expected one of gradual, paper, rearrange, search$/,
  ],
  ['an unknown search', { search: 'best' }, /^search: got best, expected one of paper, knapsack, uniform$/],
  ['an odd multiple', { neuronMultiple: 5 }, /^neuronMultiple: got 5, expected 1, 8, 16, 32, 64$/],
  ['a multiple of the paper search', { search: 'paper' }, /^neuronMultiple: got 32 with the paper's search, /],
  [
    'an unknown kind',
    { budgets: [{ text: '0.5', value: 0.5, kind: 'watts' }] },
    /^budgets: got 0\.5 of kind watts, which /,
  ],
  [
    'a kind that its text does not say',
    { budgets: [{ text: '0.5', value: 0.5, kind: 'max-drop' }] },
    /^budgets: got 0\.5, /,
  ],
  [
    'a drop that the labels of the model would judge',
    { budgets: [{ text: 'max-drop-0.5', value: 0.5, kind: 'max-drop' }] },
    /^max-drop: got labels of the model, expected those of the data$/,
  ],
  [
    'a confidence that is none',
    { budgets: [{ text: 'max-drop-0.5', value: 0.5, kind: 'max-drop' }], labels: 'data', maxDropConfidence: 1 },
    /^maxDropConfidence: got 1, expected 0\.5 to 0\.99$/,
  ],
  ['an unknown column', { columns: { __proto__x: 'a' } }, /^columns: got __proto__x, /],
  ['a metric of nothing', { evaluation: null }, /^metric: got f1 without evaluation data/],
  [
    'a budget of time without a batch',
    {
      budgets: [{ text: 'latency-0.5', value: 0.5, kind: 'latency' }],
      timing: { ...SPEC.timing, batchSizes: [] },
    },
    /^batch-size: got none, expected one at least$/,
  ],
  [
    'several problems',
    { labels: 'none', dtype: 'F64', onnx: 'BF16', stride: Number.NaN },
    /^stride: got NaN, .*; labels: got none, .*; dtype: got F64, .*; onnx: got BF16, /,
  ],
] as const)
  test(`refuses ${what}`, () => {
    const spec = { ...SPEC, ...(change as object) } as JobSpec;
    assert.throws(() => pruneRequest(spec, INPUTS), { code: 'campaign_format', message });
  });
