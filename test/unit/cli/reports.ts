// A report to render.
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import type { MeasuredSpeed } from '../../../coordinator/stages/latency.ts';

export function pruneReport(changes: Partial<PruneReport> = {}): PruneReport {
  return {
    espalier: '0.1.0',
    schema: 2,
    model: { name: 'bert', digest: 'aa', type: 'bert' },
    data: { digest: 'bb', rows: 100, truncated: 0 },
    evaluation: { digest: 'cc', rows: 872, truncated: 0 },
    seed: 0,
    samples: 2048,
    replacement: false,
    fisherGroup: 32,
    labels: 'data',
    method: 'paper',
    damping: 'ridge',
    search: 'paper',
    neuronMultiple: 1,
    uniform: false,
    budget: 0.5,
    task: 'single-label-classification',
    metric: 'accuracy',
    quality: { dense: 0.9243, search: 0.85, rearrange: 0.88, tune: 0.9128 },
    scores: {},
    macs: { dense: 2_174_215_680, pruned: 1_080_000_000 },
    macsLength: 25.4,
    parameters: { dense: 109_483_778, pruned: 67_000_000 },
    bytes: { dense: 437_991_240, pruned: 268_000_000 },
    heads: [12],
    neurons: [3072],
    tuning: [],
    latency: { batchSize: 8, tokens: 128, repeats: 15, denseSeconds: 0.2, prunedSeconds: 0.1 },
    speed: [measuredSpeed()],
    seconds: { load: 1, fisher: 1, search: 1, rearrange: 1, tune: 1, evaluate: 1, total: 6 },
    workers: 2,
    deviceClass: {},
    plan: 'dd',
    dtype: 'F32',
    digest: 'ee',
    ...changes,
  };
}

export function measuredSpeed(changes: Partial<MeasuredSpeed> = {}): MeasuredSpeed {
  return {
    ...{ runtime: 'onnxruntime', version: '1.30.0', provider: 'cpu', machine: 'toy, 2 cores', threads: 2 },
    ...{ batchSize: 8, tokens: 128, repeats: 15, input: 'valid token ids, no padding' },
    dense: { median: 0.2, p10: 0.19, p90: 0.25 },
    pruned: { median: 0.1, p10: 0.09, p90: 0.12 },
    ratio: 0.5,
    ...changes,
  };
}
