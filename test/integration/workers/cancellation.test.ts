// How soon a running task stops when its caller goes away: within a second, whatever it is doing. On a model of the size
// of the example's, with an engine in its own thread, as in a worker.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { readModelConfig } from '../../../checkpoint/read-config.ts';
import { planSamples } from '../../../coordinator/stages/plan.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import { type BlobSource, blobOfBytes, blobOfFile } from '../../../shared/blobs/blob-source.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import { parseWorkerConfig, type WorkerConfig } from '../../../worker/config.ts';
import { createEngineExecutor, type EngineExecutor } from '../../../worker/engine-executor.ts';
import { writeToyModel } from '../../support/toy-model.ts';
import { until } from '../../support/until.ts';
import { maskSet } from '../engine/request-desk.ts';

const LIMIT_MS = 1_000;
/** The task is given up at several moments, at any of which it may be doing something else. */
const MOMENTS_MS = [150, 400, 900];
const SAMPLES = 2048;

let folder = '';
let blobs: BlobStore;
let executor: EngineExecutor;
let requests: Record<string, RunRequest>;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'espalier-cancel-'));
  blobs = await BlobStore.open(folder, { limitBytes: 1e9 });
  const command = parseWorkerConfig(['--device=cpu', '--memory-gb=2', '--blob-dir', folder], {});
  executor = await createEngineExecutor((command as { config: WorkerConfig }).config, blobs);
  const model = path.join(projectRoot(), 'examples/mini-sst2');
  const configJson = readFileSync(path.join(model, 'config.json'), 'utf8');
  const file = path.join(model, 'model.safetensors');
  const weights = await blobOfFile(file);
  await blobs.link(file, weights.digest);
  const config = readModelConfig(configJson, model);
  const random = randomStream(5, 'samples');
  const samples = Array.from({ length: SAMPLES }, () => {
    const tokenIds = Int32Array.from({ length: 10 + random.integer(30) }, () => 5 + random.integer(8_000));
    return { tokenIds, typeIds: new Uint8Array(tokenIds.length), target: Float32Array.of(random.integer(2)) };
  });
  const device = executor.describe().deviceClass;
  const options = { config, device, groupSize: 8, tokensPerBatch: 2048, heldOut: true };
  const { plan, blob } = planSamples(samples, options);
  await blobs.put(blob.digest, blob.sizeBytes, blob.open());

  const masks = maskSet(denseMasks(config.layers, config.heads, config.intermediateSize));
  const ref = ({ digest, sizeBytes }: BlobSource) => ({ digest, sizeBytes });
  const inputs = { model: { configJson, weights: [ref(weights)] }, plan: ref(blob) };
  const shards = { first: 0, end: plan.shards.length };
  const tuning = { ...inputs, teacher: masks, student: masks, layer: config.layers - 1, subLayer: 'ffn' };
  const source = { shards, source: 'shards' } as const;
  requests = {
    fisher: {
      taskId: 'fisher',
      task: 'fisher',
      fisher: { ...inputs, shards, gram: true, student: null, bySample: false },
    },
    evaluate: { taskId: 'evaluate', task: 'evaluate', evaluate: { ...inputs, shards, student: null, precision: '' } },
    'normal equations': {
      taskId: 'normal-equations',
      task: 'normalEquations',
      normalEquations: { ...tuning, shards, states: null, stays: false },
    },
    activations: { taskId: 'activations', task: 'activations', activations: { ...tuning, shards, heldOnly: false } },
    solve: {
      taskId: 'solve',
      task: 'solve',
      solve: {
        ...tuning,
        ...{ states: [], next: [] },
        fit: source,
        heldOut: null,
        settingsJson: JSON.stringify(DEFAULT_TUNING_SETTINGS),
      },
    },
  };
});

after(async () => {
  await executor?.close();
  rmSync(folder, { recursive: true, force: true });
});

for (const name of ['fisher', 'evaluate', 'normal equations', 'activations', 'solve'])
  test(`${name}: stops within a second, and the next task is answered`, async (t) => {
    for (const momentMs of MOMENTS_MS) {
      const { end, tookMs } = await givenUpAfter(requests[name], momentMs);
      assert.equal(end, 'cancelled', 'it ended before it was given up: it should take longer');
      t.diagnostic(`given up after ${momentMs} ms: stopped in ${tookMs.toFixed(0)} ms`);
      assert.ok(tookMs < LIMIT_MS, `${name}: ${tookMs} ms`);
    }
  });

test('a solve from sums, which is algebra alone, stops within a second', async (t) => {
  const few = { first: 0, end: 2 };
  const { normalEquations } = requests['normal equations'];
  const { solve } = requests.solve;
  const stay = new AbortController().signal;
  const sums = await executor.run(
    { taskId: 'sums', task: 'normalEquations', normalEquations: { ...normalEquations!, shards: few } },
    stay,
  );
  const blob = blobOfBytes(encodeSafetensors(sums));
  await blobs.put(blob.digest, blob.sizeBytes, blob.open());
  const fit = { sums: { digest: blob.digest, sizeBytes: blob.sizeBytes }, source: 'sums' } as const;
  const request: RunRequest = { taskId: 'solve', task: 'solve', solve: { ...solve!, fit } };
  let stopped = 0;
  for (const momentMs of [20, 60, 120, 240]) {
    const { end, tookMs } = await givenUpAfter(request, momentMs);
    if (end === 'cancelled') stopped += 1;
    t.diagnostic(`given up after ${momentMs} ms: over in ${tookMs.toFixed(0)} ms`);
    assert.ok(tookMs < LIMIT_MS, `${tookMs} ms`);
  }
  assert.ok(stopped > 0, 'none was given up in time');
});

test('a solve of 3072 unknowns, the largest of BERT-base, stops within a second', async (t) => {
  const [neurons, hidden] = [3072, 768];
  const model = await writeToyModel(path.join(folder, 'wide'), { layers: 1, hidden, heads: 12, neurons });
  const configJson = readFileSync(path.join(model, 'config.json'), 'utf8');
  const weights = await blobOfFile(path.join(model, 'model.safetensors'));
  await blobs.put(weights.digest, weights.sizeBytes, weights.open());
  const random = randomStream(7, 'sums');
  // Positive definite: the diagonal outweighs its row. A CPU cuts a large matrix into four panels of rows.
  const panel = neurons / 4;
  const widths = Array.from({ length: neurons }, (_, row) => neurons - Math.floor(row / panel) * panel);
  const matrix = new Float64Array(widths.reduce((sum, width) => sum + width, 0));
  let at = 0;
  widths.forEach((width, row) => {
    for (let column = neurons - width; column < neurons; column++, at++)
      matrix[at] = column === row ? 2 : Math.sin(row * column) / neurons;
  });
  const f64 = (name: string, data: Float64Array) => ({ name, dtype: 'F64' as const, shape: [data.length], data });
  const sums = encodeSafetensors([
    f64('matrix', matrix),
    f64(
      'right',
      new Float64Array(neurons).map(() => random.uniform() - 0.5),
    ),
    f64('offset', new Float64Array(0)),
    f64('target_sum', Float64Array.of(0)),
    f64('target_squares', Float64Array.of(1e6)),
    f64('positions', Float64Array.of(4096)),
  ]);
  const blob = blobOfBytes(sums);
  await blobs.put(blob.digest, blob.sizeBytes, blob.open());
  const source = { sums: { digest: blob.digest, sizeBytes: blob.sizeBytes }, source: 'sums' } as const;
  const { solve } = requests.solve;
  const masks = maskSet(denseMasks(1, 12, neurons));
  const request: RunRequest = {
    taskId: 'solve',
    task: 'solve',
    solve: {
      ...solve!,
      model: { configJson, weights: [{ digest: weights.digest, sizeBytes: weights.sizeBytes }] },
      ...{ teacher: masks, student: masks, layer: 0, fit: source, heldOut: source },
    },
  };
  const stopped: number[] = [];
  for (const momentMs of [50, 150, 300, 500, 900]) {
    const { end, tookMs } = await givenUpAfter(request, momentMs);
    t.diagnostic(`given up after ${momentMs} ms: ${end} in ${tookMs.toFixed(0)} ms`);
    assert.ok(['cancelled', 'done'].includes(end), end);
    assert.ok(tookMs < LIMIT_MS, `${tookMs} ms`);
    if (end === 'cancelled') stopped.push(momentMs);
  }
  assert.ok(stopped.length >= 3, `given up in time after ${stopped} ms alone: it should take longer`);
});

/** Runs a task whose caller goes away after a while. @returns how it ended, and how long after that. */
async function givenUpAfter(request: RunRequest, momentMs: number): Promise<{ end: string; tookMs: number }> {
  const gone = new AbortController();
  const running = executor.run(request, gone.signal).then(
    () => 'done',
    (error: EspalierError) => error.code,
  );
  const begunAt = performance.now();
  await until('the moment has come', () => performance.now() - begunAt >= momentMs);
  const givenUpAt = performance.now();
  gone.abort(new EspalierError('cancelled', 'the caller went away'));
  const end = await running;
  return { end, tookMs: performance.now() - givenUpAt };
}
