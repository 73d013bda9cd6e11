// From a worker's configuration to the engine behind it: device class, memory, a GPU asked for in vain, an engine that
// dies.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { parseWorkerConfig, type WorkerConfig } from '../../../worker/config.ts';
import { createEngineExecutor, EngineExecutor } from '../../../worker/engine-executor.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';

async function parts(t: test.TestContext, ...flags: string[]): Promise<{ config: WorkerConfig; blobs: BlobStore }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-executor-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const command = parseWorkerConfig(['--blob-dir', folder, ...flags], {});
  assert.ok(command.kind === 'serve');
  return { config: command.config, blobs: await BlobStore.open(folder, { limitBytes: 1e6 }) };
}

const REQUEST = { taskId: 'nothing', task: 'fisher', fisher: { model: null } } as unknown as RunRequest;
const { signal } = new AbortController();

test('threads and memory are those of the configuration, and the class tells device and TensorFlow', async (t) => {
  const { config, blobs } = await parts(t, '--device', 'cpu', '--threads', '2', '--memory-gb', '0.5');
  const executor = await createEngineExecutor(config, blobs);
  const { deviceClass, memoryBytes } = executor.describe();
  assert.equal(memoryBytes, 5e8);
  const { tensorflowVersion, model, kernels, ...rest } = deviceClass;
  assert.deepEqual(rest, { kind: 'cpu', intraOpThreads: 2, tf32: false, memoryGb: 0 });
  assert.equal(kernels, executor.kernelsProblem === null ? 'fused' : 'plain');
  assert.match(tensorflowVersion, /^\d+\.\d+\.\d+/);
  assert.notEqual(model, '');
  await assert.rejects(executor.run(REQUEST, signal), { code: 'protocol', message: /^nothing: model: got nothing/ });
  assert.ok(executor.peakMemoryBytes()! > 5e7, 'TensorFlow alone takes more');
  await executor.close();
});

test('a GPU that is asked for and not there is an error, not a CPU', async (t) => {
  const { config, blobs } = await parts(t, '--device', 'gpu');
  // Hides those that a machine may have.
  process.env.CUDA_VISIBLE_DEVICES = '-1';
  await assert.rejects(createEngineExecutor(config, blobs), {
    code: 'engine',
    message: 'got no usable GPU, expected one',
  });
});

/** An executor whose engine's thread runs this program. */
async function executorOf(t: test.TestContext, program: string): Promise<EngineExecutor> {
  const { blobs } = await parts(t);
  const thread = new Worker(`const { parentPort } = require('node:worker_threads');${program}`, { eval: true });
  t.after(() => thread.terminate());
  return new EngineExecutor(thread, new Int32Array(new SharedArrayBuffer(4)), blobs, FAKE_DEVICE, 1e9);
}

test('an engine that dies fails the task that it had, and tells whoever would send it more', async (t) => {
  for (const [program, message] of [
    ['parentPort.on("message", () => process.exit(3))', /^engine thread ended with code 3$/],
    ['parentPort.on("message", () => { throw new Error("broken"); })', /^engine thread: broken$/],
  ] as const) {
    const executor = await executorOf(t, program);
    await assert.rejects(executor.run(REQUEST, signal), { code: 'engine', message });
    const error = await executor.died;
    assert.equal(error.code, 'engine');
    assert.match(error.message, message);
  }
});

test('one that is closed has not died', async (t) => {
  const executor = await executorOf(t, 'parentPort.on("message", () => {})');
  let died = false;
  void executor.died.then(() => {
    died = true;
  });
  await executor.close();
  assert.equal(died, false);
});
