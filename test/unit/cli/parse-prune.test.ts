import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RawFlags } from '../../../cli/flag-reader.ts';
import { parseEvaluate } from '../../../cli/parse-evaluate.ts';
import { parsePrune } from '../../../cli/parse-prune.ts';

const NEEDED: RawFlags = { data: ['train.jsonl'], budget: ['0.5'], out: ['pruned'] };
const parse = (flags: RawFlags, model: string | undefined = 'bert') =>
  parsePrune(model, { ...NEEDED, ...flags }, '/home');
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
        method: 'tune',
        damping: 'ridge',
        macsLength: null,
        maxLength: null,
        stride: 128,
        metric: null,
        dtype: null,
        workers: { local: null, addresses: [], device: 'auto' },
      },
      output: { json: false, quiet: false },
    });
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
      'macs-length': ['64'],
      'max-length': ['96'],
      stride: ['0'],
      metric: ['f1'],
      dtype: ['bfloat16'],
      'text-column': ['a'],
      'text-pair-column': ['b'],
      'label-column': ['c'],
      'question-column': ['d'],
      'context-column': ['e'],
      'answers-column': ['f'],
      workers: ['2'],
      worker: ['gpu-1:50051', '[::1]:50052'],
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
    assert.deepEqual(settings.workers, { local: 2, addresses: ['gpu-1:50051', '[::1]:50052'], device: 'gpu' });
    const { force, resume, seed, samples, replacement, fisherGroup, labels, method, damping } = settings;
    assert.deepEqual(
      [force, resume, seed, samples, replacement, fisherGroup, labels, method, damping],
      [true, true, 7, 16, true, 4, 'model', 'search', 'reference'],
    );
    const { macsLength, maxLength, stride, metric, dtype, evaluation } = settings;
    assert.deepEqual([macsLength, maxLength, stride, metric, dtype, evaluation], [64, 96, 0, 'f1', 'BF16', 'dev.csv']);
    assert.deepEqual(output, { json: true, quiet: true });
  });

  it('forks no workers of its own beside workers that already run, unless asked to', () => {
    assert.equal(parse({ worker: ['a:1'] }).settings.workers.local, 0);
    assert.equal(parse({ worker: ['a:1'], workers: ['0'] }).settings.workers.local, 0);
  });

  for (const [flags, code, message] of [
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
    [{ method: ['prune'] }, 'usage', '--method: got prune, expected search, rearrange, tune'],
    [{ damping: ['none'] }, 'usage', '--damping: got none, expected ridge, reference'],
    [{ labels: ['both'] }, 'usage', /--labels: got both/],
    [{ dtype: ['int8'] }, 'usage', '--dtype: got int8, expected float32, float16, bfloat16'],
    [{ device: ['tpu'] }, 'usage', /--device: got tpu/],
    [{ workers: ['0'] }, 'usage', /--workers: got 0, expected a whole number from 1 to 1024/],
    [{ worker: ['gpu-1'] }, 'usage', '--worker: got gpu-1, expected host:port'],
    [{ worker: ['gpu-1:70000'] }, 'usage', /got gpu-1:70000/],
    [{ worker: ['a:1', 'a:1'] }, 'usage', '--worker: the same address is given twice'],
    [{ metric: [''] }, 'usage', '--metric: got an empty value'],
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
      workers: { local: 1, addresses: [], device: 'auto' },
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
