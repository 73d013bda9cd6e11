import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatLatency, formatSeconds } from '../../../cli/quantities.ts';
import { emphasisFor, renderDescription, renderEvaluateReport, renderPruneReports } from '../../../cli/tables.ts';
import type { GradualStepReport } from '../../../coordinator/prune-report.ts';
import { formatBytes, formatCount } from '../../../shared/quantities.ts';
import { measuredSpeed, pruneReport } from './reports.ts';

const plain = (text: string) => text;

const STEP: GradualStepReport = {
  ...{ share: 0.5, macs: 1, heads: [1], neurons: [1], divergence: null, refits: [] },
  seconds: { gradients: 1, search: 1, refit: 1, divergence: 1 },
};

describe('renderPruneReports', () => {
  it('sets one budget against the dense model', () => {
    assert.equal(
      renderPruneReports([pruneReport()], ['0.5'], 'pruned', plain),
      `\
                                    dense            budget 0.5
MACs                               2.17 G                1.08 G
of dense                          100.0 %                49.7 %
parameters                       109.48 M               67.00 M
size                             438.0 MB              268.0 MB
accuracy                           0.9243                0.9128
onnxruntime 8 x 128              200.0 ms              100.0 ms
  p10 to p90         190.0 ms to 250.0 ms  90.00 ms to 120.0 ms
  of dense                        100.0 %                50.0 %

MACs at 25.4 tokens, quality on 872 rows
Speed: medians of forward passes of valid token ids, no padding; onnxruntime with 2 threads; toy, 2 cores

Result: pruned/0.5
`,
    );
  });

  it('has a column a budget, and the range of the dense times', () => {
    const dense = { median: 0.21, p10: 0.2, p90: 0.22 };
    const slower = measuredSpeed({ dense, pruned: { median: 0.15, p10: 0.15, p90: 0.15 }, ratio: 0.15 / 0.21 });
    const one = measuredSpeed({ runtime: 'engine', batchSize: 1, threads: 1 });
    const reports = [pruneReport({ speed: [measuredSpeed(), one] }), pruneReport({ speed: [slower, one] })];
    const text = renderPruneReports(reports, ['0.5', '0.70'], 'out', plain);
    assert.match(text, /^ +dense +budget 0\.5 +budget 0\.70$/m);
    assert.match(text, /^onnxruntime 8 x 128 +200\.0 ms to 210\.0 ms +100\.0 ms +150\.0 ms$/m);
    assert.match(text, /^ {2}p10 to p90 +190\.0 ms to 250\.0 ms +90\.00 ms to 120\.0 ms +150\.0 ms$/m);
    assert.match(text, /^ {2}of dense +100\.0 % +50\.0 % +71\.4 %$/m);
    assert.match(text, /^engine 1 x 128 +200\.0 ms +100\.0 ms +100\.0 ms$/m);
    assert.match(text, /; onnxruntime with 2 threads, engine with 1 thread; toy, 2 cores$/m);
    assert.match(text, /^Result: out\/0\.5\nResult: out\/0\.70\n$/m);
  });

  it('tells what memory the largest worker took', () => {
    const worker = (peakMemoryBytes?: number) => ({
      worker: 1,
      tasks: 1,
      seconds: {},
      ...(peakMemoryBytes && { peakMemoryBytes }),
    });
    const workerTimes = [worker(1.25e9), worker(), worker(3e9)];
    const line = (deviceClass: { kind: string }, tokensPerBatch: number) =>
      renderPruneReports([pruneReport({ workerTimes, deviceClass, tokensPerBatch })], ['0.5'], 'o', plain);
    assert.match(line({ kind: 'gpu' }, 4096), /^Memory: at most 3\.00 GB a GPU with 4096 tokens a batch$/m);
    assert.match(line({ kind: 'cpu' }, 2048), /^Memory: at most 3\.00 GB a worker with 2048 tokens a batch$/m);
    assert.doesNotMatch(renderPruneReports([pruneReport()], ['0.5'], 'o', plain), /Memory/);
  });

  it('leaves out what was not measured and takes the last stage that was', () => {
    const bare = pruneReport({ metric: null, evaluation: null, latency: null, speed: [] });
    const text = renderPruneReports([bare], ['0.5'], 'out', plain);
    assert.doesNotMatch(text, /accuracy|Speed|p10|quality/);
    const quality = { dense: 0.9, search: 0.8, rearrange: null, tune: null };
    const searched = pruneReport({ method: 'search', quality });
    assert.match(renderPruneReports([searched], ['0.5'], 'o', plain), /^accuracy +0\.9000 +0\.8000$/m);
  });

  it('of gradual results shows their quality, and how far their outputs are from the dense ones', () => {
    const step = { ...STEP, divergence: 0.0123456 };
    const quality = { dense: 0.9, search: null, rearrange: null, tune: null, gradual: 0.88 };
    const reports = [
      pruneReport({ method: 'gradual', quality, steps: [{ ...STEP, divergence: 0.5 }, step] }),
      pruneReport({ method: 'gradual', quality, steps: [{ ...STEP, divergence: null }] }),
    ];
    const text = renderPruneReports(reports, ['0.5', '0.8'], 'o', plain);
    assert.match(text, /^accuracy +0\.9000 +0\.8800 +0\.8800$/m);
    assert.match(text, /^divergence +- +0\.0123 +-$/m);
    assert.doesNotMatch(renderPruneReports([pruneReport({})], ['0.5'], 'o', plain), /divergence/);
  });
});

it('renderEvaluateReport puts the first metric first', () => {
  const report = {
    espalier: '0.1.0',
    model: { name: 'bert', digest: 'aa', type: 'bert' },
    data: { digest: 'bb', rows: 10, truncated: 1 },
    task: 'single-label-classification',
    metric: 'f1',
    scores: { accuracy: 0.5, f1: 0.25 },
    samples: 10,
    seconds: 2,
  };
  assert.equal(
    renderEvaluateReport(report, plain),
    `\
             bert
f1         0.2500
accuracy   0.5000
samples        10
truncated       1
time        2.0 s
`,
  );
});

it('renderDescription lists heads and neurons by layer', () => {
  const text = renderDescription({
    type: 'bert',
    task: 'single-label-classification',
    layers: 2,
    hiddenSize: 32,
    headsByLayer: [4, 1],
    neuronsByLayer: [64, 7],
    pruned: true,
    parameters: 12_345,
    bytes: 49_380,
    dtype: 'F32',
    labels: [],
    maxTokens: 128,
  });
  assert.match(text, /^pruned +by Espalier$/m);
  assert.match(text, /^size +49\.4 kB as F32$/m);
  assert.match(text, /^heads by layer +4 1\nneurons by layer +64 7\n$/m);
});

it('emphasis is for terminals whose user has not refused colour', () => {
  assert.equal(emphasisFor({ isTTY: true }, {})('x'), '\x1b[1mx\x1b[22m');
  assert.equal(emphasisFor({ isTTY: true }, { NO_COLOR: '1' })('x'), 'x');
  assert.equal(emphasisFor({ isTTY: true }, { TERM: 'dumb' })('x'), 'x');
  assert.equal(emphasisFor({}, {})('x'), 'x');
});

it('quantities change their unit where they would grow too long', () => {
  assert.deepEqual([0, 999, 1000, 999_994, 999_996, 2.5e9].map(formatCount), [
    '0',
    '999',
    '1.00 K',
    '999.99 K',
    '1.00 M',
    '2.50 G',
  ]);
  assert.deepEqual([1000, 999_949, 1e6, 1e9].map(formatBytes), ['1.0 kB', '999.9 kB', '1.0 MB', '1.00 GB']);
  assert.deepEqual([0.0004, 0.085, 0.1, 99.94, 99.96, 245, 3599.6, 7620].map(formatSeconds), [
    '0.4 ms',
    '85 ms',
    '0.1 s',
    '99.9 s',
    '1 min 40 s',
    '4 min 05 s',
    '1 h 00 min',
    '2 h 07 min',
  ]);
  assert.deepEqual([0.01231, 0.2, 1.2041].map(formatLatency), ['12.31 ms', '200.0 ms', '1.204 s']);
});
