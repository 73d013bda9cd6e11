// A model that a worker loads before tasks ask for it: sooner there, the same answers, and a load that fails fails nothing else.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { localWeights, modelBlobs, modelFiles } from '../../../coordinator/job/model-blobs.ts';
import { planSamples } from '../../../coordinator/stages/plan.ts';
import type { BlobSource } from '../../../shared/blobs/blob-source.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { parseWorkerConfig } from '../../../worker/config.ts';
import { createEngineExecutor } from '../../../worker/engine-executor.ts';
import type { LocalModel } from '../../../worker/model/local-model.ts';
import { until } from '../../support/until.ts';
import { assertSameBits } from '../engine/results.ts';
import { randomSamples, temporaryFolder, tinyModel } from '../engine/tiny-model.ts';

const { signal } = new AbortController();

/** An engine, a model as a job names it to workers of its machine, and a task for it. */
async function world(t: TestContext) {
  const folder = await temporaryFolder(t);
  const command = parseWorkerConfig(['--device=cpu', '--memory-gb=1', '--blob-dir', folder], {});
  assert.ok(command.kind === 'serve');
  const blobs = await BlobStore.open(folder, { limitBytes: 1e8 });
  const tiny = await tinyModel(t, 'Bert', 'SequenceClassification');
  const checkpoint = await openCheckpoint(tiny.folder);
  t.after(() => checkpoint.close());
  const executor = await createEngineExecutor(command.config, blobs);
  t.after(() => executor.close());
  const placed = await modelBlobs(checkpoint, localWeights(blobs));
  const device = executor.describe().deviceClass;
  const options = { config: tiny.config, device, groupSize: 1, tokensPerBatch: 64, heldOut: false };
  const { plan, blob } = planSamples(randomSamples(tiny.config, [5, 3, 7]), options);
  await blobs.put(blob.digest, blob.sizeBytes, blob.open());
  const shards = { first: 0, end: plan.shards.length };
  const named = ({ digest, sizeBytes }: BlobSource) => ({ digest, sizeBytes });
  const request: RunRequest = {
    taskId: 'evaluate',
    task: 'evaluate',
    evaluate: {
      model: { configJson: checkpoint.configText, weights: placed.blobs.map(named) },
      plan: named(blob),
      shards,
      student: null,
      precision: '',
    },
  };
  return { executor, request, model: await modelFiles(checkpoint) };
}

/** As `model`, by another name. */
function other({ configJson, weights }: LocalModel): LocalModel {
  return { configJson: `${configJson} `, weights };
}

test('a model that is loaded ahead is the one that tasks ask for, and they wait for it', async (t) => {
  const { executor, request, model } = await world(t);
  const expected = await executor.run(request, signal);
  const digests = model.weights.map(({ digest }) => digest);
  assert.deepEqual(executor.models(), digests);
  await executor.load(model);
  assert.deepEqual(executor.models(), digests, 'it is there already');

  const loading = executor.load(other(model));
  assertSameBits(await executor.run(request, signal), expected, 'while one is loaded');
  await loading;
  assert.deepEqual(executor.models(), [...digests, ...digests]);
});

test('while a task computes none is loaded', async (t) => {
  const { executor, request, model } = await world(t);
  const running = executor.run(request, signal);
  await executor.load(other(model));
  await running;
  assert.equal(executor.models().length, model.weights.length);
});

test('one that cannot be loaded fails no task', async (t) => {
  const { executor, request, model } = await world(t);
  const weights = model.weights.map(({ digest }) => ({ digest, path: '/nowhere/model.safetensors' }));
  const loading = executor.load({ ...model, weights });
  const answered = executor.run(request, signal);
  await assert.rejects(loading, { message: /^load: .*nowhere/ });
  assert.equal((await answered).length, 1);
});

test('a forked worker loads what its parent names, logs what it cannot load, and serves on', async (t) => {
  const { model } = await world(t);
  const flags = { host: '127.0.0.1', port: 0, 'metrics-port': 0, device: 'cpu', 'blob-dir': await temporaryFolder(t) };
  const worker = fork(
    path.join(projectRoot(), 'dist/worker/main.js'),
    Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  );
  t.after(() => worker.kill('SIGKILL'));
  let log = '';
  worker.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const lines = (message: string) => log.split('\n').filter((line) => line.includes(`"message":"${message}"`)).length;
  worker.send({ kind: 'load', model: { ...model, configJson: '{}' } });
  worker.send({ kind: 'load', model });
  await until(
    'both are answered',
    () => lines('model not loaded ahead') === 1 && lines('model loaded ahead') === 1,
    60_000,
  );
  assert.equal(lines('serving'), 1);
  assert.equal(worker.exitCode, null);
});
