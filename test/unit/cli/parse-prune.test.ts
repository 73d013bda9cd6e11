import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RawFlags } from '../../../cli/flag-reader.ts';
import { parseEvaluate } from '../../../cli/parse-evaluate.ts';
import { parsePrune } from '../../../cli/parse-prune.ts';

const NEEDED: RawFlags = { data: ['train.jsonl'], budget: ['0.5'], out: ['pruned'] };
const parse = (flags: RawFlags, model: string | undefined = 'bert', env: Record<string, string> = {}) =>
  parsePrune(model, { ...NEEDED, ...flags }, '/home', env);
const ACTION = 'see `espalier prune --help`';

describe('parsePrune', () => {
  it('fills in the defaults', () => {
    assert.deepEqual(parse({}), {
      settings: {
        model: 'bert',
        data: 'train.jsonl',
        evaluation: null,
        columns: {},
        budgets: [{ text: '0.5', value: 0.5 }],
        out: 'pruned',
        force: false,
        resume: false,
        seed: 0,
        samples: 2048,
        replacement: false,
        fisherGroup: null,
        labels: 'data',
        method: 'gradual',
        damping: 'ridge',
        search: 'paper',
        neuronMultiple: 1,
        macsLength: null,
        maxLength: null,
        stride: 128,
        metric: null,
        timing: { runtime: 'onnxruntime', batchSizes: [8], lengths: [], threads: 0 },
        dtype: null,
        workers: { local: null, addresses: [], tls: null, device: 'auto' },
      },
      output: { json: false, quiet: false },
    });
  });

  it('reads what may be lost, beside budgets or alone', () => {
    const drop = (text: string, value: number) => ({ text, value, kind: 'max-drop' });
    const both = parse({ 'max-drop': ['0.01,.02'], 'max-drop-confidence': ['.9'], metric: ['f1'] }).settings;
    assert.deepEqual(both.budgets, [
      { text: '0.5', value: 0.5 },
      drop('max-drop-0.01', 0.01),
      drop('max-drop-0.02', 0.02),
    ]);
    assert.deepEqual([both.maxDropConfidence, both.metric], [0.9, 'f1']);
    const alone = parse({ budget: undefined, 'max-drop': ['0.010'] }).settings;
    assert.deepEqual(alone.budgets, [drop('max-drop-0.010', 0.01)]);
    assert.ok(!('maxDropConfidence' in alone));
  });

  it('reads every flag', () => {
    const { settings, output } = parse({
      eval: ['dev.csv'],
      budget: ['0.4, .60', '0.75'],
      force: true,
      resume: true,
      seed: ['7'],
      samples: ['16'],
      replacement: true,
      'fisher-group': ['4'],
      labels: ['model'],
      method: ['search'],
      damping: ['reference'],
      search: ['knapsack'],
      'neuron-multiple': ['32'],
      'macs-length': ['64'],
      'max-length': ['96'],
      stride: ['0'],
      metric: ['f1'],
      runtime: ['engine'],
      'batch-size': ['8,1'],
      length: ['128', '32'],
      threads: ['2'],
      dtype: ['bfloat16'],
      onnx: ['float16'],
      'text-column': ['a'],
      'text-pair-column': ['b'],
      'label-column': ['c'],
      'question-column': ['d'],
      'context-column': ['e'],
      'answers-column': ['f'],
      workers: ['2'],
      worker: ['gpu-1:50051', '[::1]:50052'],
      'tls-ca': ['ca.pem'],
      'tls-certificate': ['coordinator.pem'],
      'tls-key': ['coordinator-key.pem'],
      device: ['gpu'],
      json: true,
      quiet: true,
    });
    assert.deepEqual(
      settings.budgets.map(({ text }) => text),
      ['0.4', '0.60', '0.75'],
    );
    assert.deepEqual(settings.columns, {
      text: 'a',
      textPair: 'b',
      label: 'c',
      question: 'd',
      context: 'e',
      answers: 'f',
    });
    assert.deepEqual(settings.workers, {
      local: 2,
      addresses: ['gpu-1:50051', '[::1]:50052'],
      tls: { ca: 'ca.pem', certificate: 'coordinator.pem', key: 'coordinator-key.pem' },
      device: 'gpu',
    });
    const { force, resume, seed, samples, replacement, fisherGroup, labels, method, damping } = settings;
    assert.deepEqual(
      [force, resume, seed, samples, replacement, fisherGroup, labels, method, damping],
      [true, true, 7, 16, true, 4, 'model', 'search', 'reference'],
    );
    assert.deepEqual([settings.search, settings.neuronMultiple], ['knapsack', 32]);
    const { macsLength, maxLength, stride, metric, dtype, evaluation } = settings;
    assert.deepEqual([macsLength, maxLength, stride, metric, dtype, evaluation], [64, 96, 0, 'f1', 'BF16', 'dev.csv']);
    const timing = { runtime: 'engine', batchSizes: [8, 1], lengths: [128, 32], threads: 2 };
    assert.deepEqual(settings.timing, timing);
    assert.equal(settings.onnx, 'F16');
    assert.deepEqual(output, { json: true, quiet: true });
  });

  it('writes ONNX files as float32 where no type is said, and none where they are not asked for', () => {
    assert.equal(parse({ onnx: true }).settings.onnx, 'F32');
    assert.ok(!('onnx' in parse({}).settings));
  });

  it('forks no workers of its own beside workers that already run, unless asked to', () => {
    assert.equal(parse({ worker: ['localhost:1'] }).settings.workers.local, 0);
    assert.equal(parse({ worker: ['localhost:1'], workers: ['0'] }).settings.workers.local, 0);
    const { local, device } = parse({ worker: ['localhost:1'], workers: ['2'], device: ['cpu'] }).settings.workers;
    assert.deepEqual([local, device], [2, 'cpu']);
  });

  it('takes TLS from the environment where no flag says otherwise, for workers that already run', () => {
    const env = { ESPALIER_TLS_CA: 'a', ESPALIER_TLS_CERTIFICATE: 'b', ESPALIER_TLS_KEY: 'c' };
    const { workers } = parse({ worker: ['gpu-1:1'], 'tls-ca': ['d'] }, 'bert', env).settings;
    assert.deepEqual(workers.tls, { ca: 'd', certificate: 'b', key: 'c' });
    assert.equal(parse({}, 'bert', env).settings.workers.tls, null);
  });

  it('reaches other machines without TLS only when told to', () => {
    for (const address of ['127.0.0.1:1', '127.9.9.9:1', 'localhost:1', '[::1]:1'])
      assert.equal(parse({ worker: [address] }).settings.workers.tls, null);
    assert.equal(parse({ worker: ['gpu-1:1'], insecure: true }).settings.workers.tls, null);
  });

  for (const [flags, code, message] of [
    [
      { worker: ['gpu-1:1', 'localhost:2', '[fe80::1]:3'] },
      'usage',
      '--worker: got gpu-1:1, [fe80::1]:3 without TLS; give --tls-ca, --tls-certificate and --tls-key, or --insecure',
    ],
    [
      { worker: ['gpu-1:1'], 'tls-key': ['k.pem'] },
      'usage',
      '--tls-ca, --tls-certificate: missing; TLS takes all of --tls-ca, --tls-certificate, --tls-key',
    ],
    [{ budget: ['1.5'] }, 'budget_out_of_range', '--budget: got 1.5, expected more than 0 and less than 1'],
    [{ budget: ['0,1'] }, 'budget_out_of_range', /got 0, expected .*; --budget: got 1, expected/],
    [{ budget: ['-0.5'] }, 'budget_out_of_range', /got -0\.5/],
    [{ budget: ['half'] }, 'usage', '--budget: got half, expected a decimal fraction such as 0.5'],
    [{ budget: ['NaN'] }, 'usage', /got NaN/],
    [{ budget: ['60%'] }, 'usage', /got 60%/],
    [{ budget: ['1e-1'] }, 'usage', /got 1e-1/],
    [{ budget: ['0.5,'] }, 'usage', /got nothing/],
    [{ budget: ['0.5', '0.50'] }, 'usage', '--budget: got 0.5 and 0.50, expected distinct budgets'],
    [{ budget: ['1.5', 'x'] }, 'usage', /got 1\.5.*got x/],
    [{ seed: ['-1'] }, 'usage', '--seed: got -1, expected a whole number from 0 to 4294967295'],
    [{ seed: ['1.5'] }, 'usage', /got 1\.5/],
    [{ seed: ['1', '2'] }, 'usage', '--seed: got 2 values, expected one'],
    [{ samples: ['0'] }, 'usage', /--samples: got 0, expected a whole number from 1 /],
    [{ 'fisher-group': ['x'] }, 'usage', /--fisher-group: got x/],
    [{ 'max-length': ['1'] }, 'usage', /--max-length: got 1/],
    [{ method: ['prune'] }, 'usage', '--method: got prune, expected gradual, paper, rearrange, search'],
    [
      { method: ['gradual'], damping: ['ridge'], 'fisher-group': ['4'] },
      'usage',
      /^--damping: got ridge with the method gradual, which tunes no scales; .*--fisher-group: got 4 with the method gradual/,
    ],
    [
      { method: ['paper'], 'gradual-steps': ['grid'] },
      'usage',
      '--gradual-steps: got grid with the method paper, which prunes once; expected the method gradual, or no gradual-steps',
    ],
    [{ 'position-weights': ['loss'] }, 'usage', '--position-weights: got loss, expected gradient, equal'],
    [
      { split: ['divergence'], search: ['knapsack'] },
      'usage',
      "--split: got divergence with the search knapsack, expected the paper's, or the split importance",
    ],
    [{ damping: ['none'] }, 'usage', '--damping: got none, expected ridge, reference'],
    [{ search: ['uniform'] }, 'usage', '--search: got uniform, expected paper, knapsack'],
    [{ 'neuron-multiple': ['5'] }, 'usage', '--neuron-multiple: got 5, expected 1, 8, 16, 32, 64'],
    [
      { 'neuron-multiple': ['8'] },
      'usage',
      /^--neuron-multiple: got 8 with the paper's search, .*; expected the knapsack/,
    ],
    [{ uniform: true, search: ['knapsack'] }, 'usage', '--uniform: got --search knapsack too, expected one of the two'],
    [{ labels: ['both'] }, 'usage', /--labels: got both/],
    [
      { latency: ['1.2'] },
      'budget_out_of_range',
      "--latency: got 1.2, expected more than 0 and less than 1, a share of the dense model's time",
    ],
    [{ latency: ['half'] }, 'usage', '--latency: got half, expected a decimal number such as 0.6'],
    [{ latency: ['0.5,.5'] }, 'usage', '--latency: got .5 twice, expected distinct budgets'],
    [
      { 'latency-ms': ['0'] },
      'budget_out_of_range',
      '--latency-ms: got 0, expected more than 0 milliseconds and at most 3600000',
    ],
    [
      { 'latency-table': ['t.json'] },
      'usage',
      '--latency-table: got no --latency or --latency-ms, expected a budget that is searched by it',
    ],
    [{ fastest: true }, 'usage', '--fastest: got no --max-drop, expected what the fastest model may lose'],
    [
      { 'other-machine': true, latency: ['0.5'] },
      'usage',
      '--other-machine: got no --latency-table, expected the table of that machine',
    ],
    [{ runtime: ['torch'] }, 'usage', '--runtime: got torch, expected onnxruntime, engine'],
    [{ 'batch-size': ['0'] }, 'usage', '--batch-size: got 0, expected a whole number from 1 to 65536'],
    [{ 'batch-size': ['8,x'] }, 'usage', '--batch-size: got x, expected a whole number'],
    [
      { 'batch-size': ['600'], length: ['128'] },
      'usage',
      '--batch-size: got 76800 tokens a batch, expected at most 65536',
    ],
    [{ length: ['32,32'] }, 'usage', '--length: got 32, 32, expected distinct ones'],
    [{ threads: ['0'] }, 'usage', '--threads: got 0, expected a whole number from 1 to 1024'],
    [{ dtype: ['int8'] }, 'usage', '--dtype: got int8, expected float32, float16, bfloat16'],
    [{ onnx: ['bfloat16'] }, 'usage', '--onnx: got bfloat16, expected float32, float16'],
    [{ device: ['tpu'] }, 'usage', /--device: got tpu/],
    [{ workers: ['0'] }, 'usage', /--workers: got 0, expected a whole number from 1 to 1024/],
    [{ worker: ['gpu-1'] }, 'usage', '--worker: got gpu-1, expected host:port'],
    [
      { worker: ['localhost:1'], device: ['cpu'] },
      'usage',
      '--device: got cpu with workers that already run alone, expected --workers beside it',
    ],
    [
      { worker: ['localhost:1'], workers: ['0'], kernels: ['plain'] },
      'usage',
      '--kernels: got plain with workers that already run alone, expected --workers beside it',
    ],
    [{ worker: ['gpu-1:70000'] }, 'usage', /got gpu-1:70000/],
    [{ worker: ['[::1]:1', '[::1]:1'] }, 'usage', '--worker: the same address is given twice'],
    [{ metric: [''] }, 'usage', '--metric: got an empty value'],
    [{ metric: ['f1'] }, 'usage', '--metric: got f1 without --eval, expected samples to measure it on'],
    [{ out: ['.'] }, 'usage', '--out: got ., expected a folder that does not hold the model'],
    [{ out: ['../'] }, 'usage', /does not hold the model/],
    [{ out: ['bert'] }, 'usage', /does not hold the model/],
    [{ out: ['d'], data: ['d/train.csv'] }, 'usage', '--out: got d, expected a folder that does not hold --data'],
  ] as const)
    it(`refuses ${JSON.stringify(flags)}`, () => {
      assert.throws(() => parse(flags), { code, message, action: ACTION });
    });

  it('tells of everything that is missing or wrong at once', () => {
    assert.throws(() => parsePrune(undefined, { seed: ['x'] }, '/home'), {
      code: 'usage',
      message:
        'MODEL: missing; --data FILE: missing; --budget FRACTION: missing; --out DIR: missing; ' +
        '--seed: got x, expected a whole number from 0 to 4294967295',
    });
  });
});

describe('parseEvaluate', () => {
  it('reads the flags that it shares with prune', () => {
    const { settings } = parseEvaluate('pruned/0.5', { data: ['dev.tsv'], metric: ['mcc'], workers: ['1'] });
    assert.deepEqual(settings, {
      model: 'pruned/0.5',
      data: 'dev.tsv',
      columns: {},
      metric: 'mcc',
      maxLength: null,
      stride: 128,
      workers: { local: 1, addresses: [], tls: null, device: 'auto' },
    });
  });

  it('tells of everything that is missing or wrong at once', () => {
    assert.throws(() => parseEvaluate(undefined, { device: ['x'] }), {
      code: 'usage',
      message: 'DIR: missing; --data FILE: missing; --device: got x, expected auto, cpu, gpu',
      action: 'see `espalier evaluate --help`',
    });
  });
});
