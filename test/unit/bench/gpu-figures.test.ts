// What bench:gpu makes of what it measured: medians, shares, the comparison with a baseline, the table, masks, flags.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { maskMacs } from '../../../pruning/cost.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { readBaseline, requireComparable, timesAsFast } from '../../bench/gpu/baseline.ts';
import { evenMasks } from '../../bench/gpu/even-masks.ts';
import { type RunFigures, reached, spreadOf, stageFigures } from '../../bench/gpu/figures.ts';
import { jobSeconds } from '../../bench/gpu/job-seconds.ts';
import { parseGpuBench } from '../../bench/gpu/settings.ts';
import { digits, machineText, workloadText } from '../../bench/gpu/table.ts';
import { workloadDefinition } from '../../bench/gpu/workloads.ts';

const SIZES = { layers: 12, hiddenSize: 768, heads: 12, neurons: 3072 };
const DEFINITION = workloadDefinition('mnli-like', SIZES, 2048);
const FISHER = stageFigures('fisher', [9, 2, 1, 4], { tokens: 8000, teraflop: 30 });

const RUN: RunFigures = {
  schema: 1,
  machine: 'Some GPU',
  deviceClass: {
    ...{ kind: 'gpu', model: 'Some GPU', intraOpThreads: 0, tensorflowVersion: '2.21.0', kernels: 'plain' },
    tf32: false,
    memoryGb: 128,
  },
  versions: { espalier: '1.0.0', node: 'v20.0.0' },
  repeats: 3,
  limits: { product: { size: 8192, teraflopPerSecond: 50 }, copy: { bytes: 1e9, terabytesPerSecond: 4 } },
  workloads: [
    {
      ...{ definition: DEFINITION, tokens: 8000, paddedTokens: 9000, shards: 20, microBatches: 31 },
      setUp: { engineSeconds: 1.5, firstCallSeconds: 2.25 },
      peak: { deviceBytes: 12e9, tensorBytes: 8e9, processBytes: 1e9 },
      tokensPerBatch: 16384,
      stages: [FISHER, stageFigures('solve', [1, 0.5], { tokens: null, teraflop: null })],
    },
  ],
};

const usage = (text: RegExp) => (caught: unknown) =>
  caught instanceof EspalierError && caught.code === 'usage' && text.test(caught.message);

describe('figures', () => {
  it('are medians of what follows the warm-up', () => {
    assert.deepEqual([FISHER.firstSeconds, FISHER.seconds], [9, { median: 2, least: 1, most: 4 }]);
    assert.deepEqual(spreadOf([4, 10, 1, 2]), { median: 3, least: 1, most: 10 });
    assert.throws(() => spreadOf([]), /got no value/);
  });

  it('have a share of the limit where work is counted', () => {
    assert.deepEqual(reached(FISHER, RUN.limits), { teraflopPerSecond: 15, shareOfLimit: 0.3 });
    assert.equal(reached(RUN.workloads[0].stages[1], RUN.limits), null);
  });
});

describe('a baseline', () => {
  const same = { machine: 'Some GPU', deviceKind: 'gpu', workloads: [DEFINITION] };
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-baseline-'));
  after(() => rmSync(folder, { recursive: true }));

  it('of the same machine and workload is compared, whatever its versions', () => {
    const other = { ...RUN, versions: { espalier: '0.1.0', node: 'v22.0.0' } };
    requireComparable(same, other);
    const faster = stageFigures('fisher', [1, 0.5], { tokens: 8000, teraflop: 30 });
    assert.equal(timesAsFast('mnli-like', faster, other), 4);
    assert.equal(timesAsFast('mnli-like', { ...faster, name: 'evaluate' }, other), null);
    assert.equal(timesAsFast('squad-like', faster, other), null);
  });

  it('of another machine, device or workload is refused by name', () => {
    const refused = (run: typeof same, text: RegExp) => assert.throws(() => requireComparable(run, RUN), usage(text));
    refused({ ...same, machine: 'Other GPU' }, /machine: got a baseline of Some GPU, expected one of Other GPU/);
    refused({ ...same, deviceKind: 'cpu' }, /device: got a baseline on gpu, expected one on cpu/);
    refused(
      { ...same, workloads: [workloadDefinition('squad-like', SIZES, 2048)] },
      /squad-like: the baseline has none/,
    );
    refused(
      { ...same, workloads: [workloadDefinition('mnli-like', { ...SIZES, layers: 2 }, 64)] },
      /mnli-like: model: got a baseline of .*"layers":12.*expected .*"layers":2.*; workload mnli-like: samples: got a baseline of 2048, expected 64/,
    );
  });

  it('is read from what was written, and from nothing else', async () => {
    const file = path.join(folder, 'run.json');
    writeFileSync(file, JSON.stringify(RUN));
    assert.deepEqual(await readBaseline(file), RUN);
    writeFileSync(file, '[]');
    await assert.rejects(readBaseline(file), usage(/got another form/));
    writeFileSync(file, '{');
    await assert.rejects(readBaseline(file), usage(/expected what bench:gpu --json writes/));
  });
});

describe('the table', () => {
  it('says what was measured, and how it compares', () => {
    assert.equal(
      machineText(RUN),
      'Some GPU: gpu, TF32 off, TensorFlow 2.21.0, plain kernels, plans for 128 GB\n' +
        'its limits: a product of 8192 x 8192 50.0 TFLOP/s, a copy of 1.00 GB 4.00 TB/s read and written',
    );
    const text = workloadText(RUN.workloads[0], { ...RUN, baseline: { ...RUN, workloads: [] } });
    assert.deepEqual(text.split('\n'), [
      'mnli-like: SequenceClassification 12x768x12x3072, 2048 samples, budget 0.6, median of 3',
      '  8000 tokens, 9000 padded, in 31 micro-batches of 20 shards, at most 16384 a micro-batch',
      '  set-up: engine 1.50 s, model and first shard 2.25 s',
      '  peak memory: device 12.0 GB, tensors 8.00 GB, process 1.00 GB',
      '  stage   seconds  least   most  first  tokens/s  TFLOP  TFLOP/s  of limit  times as fast',
      '  fisher     2.00   1.00   4.00   9.00      4000   30.0     15.0    30.0 %              -',
      '  solve     0.500  0.500  0.500   1.00         -      -        -         -              -',
    ]);
    const [, , , , , fisher] = workloadText(RUN.workloads[0], { ...RUN, baseline: RUN }).split('\n');
    assert.match(fisher, / 1\.00$/);
  });

  it('has three digits of each figure', () => {
    assert.deepEqual([1234.5, 12.345, 0.012345, 0, 0.99951].map(digits), ['1235', '12.3', '0.0123', '0', '1.000']);
  });
});

describe('rows of a job', () => {
  const seconds = { load: 9, fisher: 1, search: 2, rearrange: 3, tune: 4, evaluate: 5, total: 99 };
  const workerTimes = [
    { worker: 1, tasks: 3, seconds: { fisher: 1, solve: 2 } },
    { worker: 2, tasks: 1, seconds: { fisher: 4 } },
  ];

  it("are the published method's stages, and what all workers computed", () => {
    const rows = { load: 9, fisher: 1, search: 2, rearrange: 3, tune: 4 };
    assert.deepEqual(jobSeconds({ seconds, workerTimes }), {
      ...rows,
      'tasks fisher': 5,
      'tasks solve': 2,
      pruning: 10,
    });
  });

  it('are the parts of all gradual steps, and each step', () => {
    const step = { macs: 1, heads: [], neurons: [], divergence: null, refits: [] };
    const steps = [
      { ...step, share: 0.8, seconds: { gradients: 1, search: 2, refit: 3, divergence: 4 } },
      { ...step, share: 0.65, seconds: { gradients: 10, search: 20, refit: 30, divergence: 40 } },
    ];
    assert.deepEqual(jobSeconds({ seconds: { ...seconds, gradual: 110 }, steps }), {
      ...{ load: 9, gradients: 11, search: 22, refit: 33, divergence: 44 },
      ...{ 'step 0.8': 10, 'step 0.65': 100, pruning: 110 },
    });
  });
});

describe('even masks', () => {
  it('keep the share of MACs that was asked for, the same in every layer', () => {
    const sizes = { layers: 3, heads: 12, neurons: 3072, hiddenSize: 768, headSize: 64 };
    const masks = evenMasks(sizes, 0.6, 37);
    const dense = evenMasks(sizes, 0.999999, 37);
    assert.ok(dense.headMask.every((bit) => bit === 1));
    const kept = maskMacs(masks, { ...sizes, tokens: 37 });
    const all = maskMacs(
      { ...masks, headMask: masks.headMask.map(() => 1), neuronMask: masks.neuronMask.map(() => 1) },
      { ...sizes, tokens: 37 },
    );
    // Short of the share by less than a neuron a layer.
    assert.ok(kept / all <= 0.6 && kept / all > 0.6 - 1 / 3072, `${kept / all}`);
    for (let layer = 1; layer < 3; layer++)
      assert.deepEqual(masks.neuronMask.subarray(0, 3072), masks.neuronMask.subarray(layer * 3072, (layer + 1) * 3072));
  });

  it('of what larger ones keep', () => {
    const sizes = { layers: 2, heads: 12, neurons: 3072, hiddenSize: 768, headSize: 64 };
    const larger = evenMasks(sizes, 0.8, 37);
    const found = evenMasks(sizes, 0.6, 37, larger);
    const other = evenMasks(sizes, 0.6, 37);
    for (const name of ['headMask', 'neuronMask'] as const) {
      const count = (mask: Uint8Array) => mask.reduce((sum, bit) => sum + bit, 0);
      assert.equal(count(found[name]), count(other[name]));
      assert.ok(found[name].every((bit, index) => bit <= larger[name][index]));
      assert.ok(
        other[name].some((bit, index) => bit > larger[name][index]),
        'those of the dense model keep others',
      );
    }
    // One head of two in place of both leaves MACs for more neurons than the larger masks have.
    const few = { ...sizes, heads: 2, neurons: 32, hiddenSize: 16, headSize: 8 };
    const all = evenMasks(few, 0.775, 100);
    assert.deepEqual(evenMasks(few, 0.6, 100, all).neuronMask, all.neuronMask);
  });
});

describe('flags', () => {
  it('are the two workloads on BERT-base unless others are given', () => {
    const usual = parseGpuBench([]);
    assert.deepEqual([usual.repeats, usual.samples, usual.sizes], [5, 2048, SIZES]);
    assert.deepEqual(usual.workloads, ['mnli-like', 'squad-like']);
    const given = parseGpuBench([
      '--stages',
      'job,fisher',
      '--workloads',
      'squad-like',
      '--layers',
      '2',
      '--json',
      'f',
    ]);
    assert.deepEqual(
      [given.stages, given.workloads, given.sizes.layers, given.json],
      [['fisher', 'job'], ['squad-like'], 2, 'f'],
    );
  });

  it('that are wrong are all named', () => {
    const wrong = ['--stages', 'prune', '--repeats', '0', '--device', 'tpu', '--layers', 'x'];
    assert.throws(
      () => parseGpuBench(wrong),
      usage(/--device: .*--layers: .*--stages: got "prune".*--repeats: got "0"/),
    );
    assert.equal(parseGpuBench(['--gpu-memory', '16GB']).gpuMemory, '16GB');
    assert.throws(() => parseGpuBench(['--gpu-memory', 'much']), usage(/--gpu-memory: got "much", expected an amount/));
    assert.throws(() => parseGpuBench(['--heads', '5']), usage(/--heads: got 5, expected a divisor of --hidden 768/));
    assert.throws(() => parseGpuBench(['--fast']), usage(/--fast/));
  });
});
