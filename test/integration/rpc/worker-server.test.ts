// The worker's front on a real connection: what it says, what it bounds, how errors and cancellation cross it.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { credentials, status } from '@grpc/grpc-js';
import { type BlobSource, blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { BlobUploader } from '../../../shared/rpc/blob-upload.ts';
import { connectWorker } from '../../../shared/rpc/channel.ts';
import {
  PROTOCOL_VERSION,
  protocol,
  type RunRequestBody,
  type WorkerDescription,
} from '../../../shared/rpc/protocol.ts';
import { readTensors } from '../../../shared/rpc/tensor-stream.ts';
import { type FakeWorkerOptions, squareOfFirstShard, startFakeWorker } from '../../support/fake-executor.ts';
import { shardTask } from '../../support/fake-tasks.ts';
import { gate, until } from '../../support/until.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function connected(options: FakeWorkerOptions = {}) {
  const worker = await startFakeWorker(options);
  releases.add(() => worker.close());
  const connection = connectWorker(worker.address);
  releases.add(() => connection.close());
  const uploader = new BlobUploader(connection.blobs, worker.address);
  const run = (request: RunRequestBody, deadlineMs = 10_000) =>
    readTensors(connection.worker.run(request, { deadline: Date.now() + deadlineMs }));
  return { ...worker, connection, uploader, run };
}

const request = (index = 0, blobs: readonly BlobSource[] = []): RunRequestBody => ({
  taskId: `fisher/${index}`,
  ...shardTask(index, { blobs }).request,
});

test('Describe says what the worker is, with another instance after each start', async () => {
  const instances = new Set<string>();
  for (let start = 0; start < 2; start += 1) {
    const { connection } = await connected();
    const description = await new Promise<WorkerDescription>((resolve, reject) => {
      connection.worker.describe({}, (error, answer) => (answer === undefined ? reject(error) : resolve(answer)));
    });
    assert.equal(description.protocolVersion, PROTOCOL_VERSION);
    assert.match(description.version, /^\d+\.\d+\.\d+/);
    assert.equal(description.deviceClass?.kind, 'cpu');
    assert.equal(description.memoryBytes, 1e9);
    instances.add(description.instanceId);
  }
  assert.equal(instances.size, 2);
});

test('an error arrives with its code, its words and its action', async () => {
  const sent = new EspalierError('out_of_memory', 'shard 3: got 9 GB, expected « 8 GB »', {
    action: 'use fewer tokens',
  });
  const { run } = await connected({ run: () => Promise.reject(sent) });
  await assert.rejects(run(request()), {
    name: 'EspalierError',
    code: sent.code,
    message: sent.message,
    action: sent.action,
  });
});

test('anything else that is thrown arrives as internal', async () => {
  const { run } = await connected({ run: () => Promise.reject(new TypeError('x is undefined')) });
  await assert.rejects(run(request()), { code: 'internal', message: 'x is undefined' });
});

test('a request without a task is refused', async () => {
  const { run } = await connected();
  await assert.rejects(run({ taskId: 'x' }), { code: 'protocol' });
});

test('tasks that name missing blobs are refused before they compute', async () => {
  const { run, executor, uploader } = await connected();
  const [here, away] = ['here', 'away'].map((text) => blobOfBytes(Buffer.from(text)));
  await uploader.ensure([here]);
  await assert.rejects(run(request(0, [here, away])), {
    code: 'blob_missing',
    message: `not on this worker: ${away.digest}`,
  });
  assert.deepEqual(executor.started, []);
  await uploader.ensure([here, away]);
  await run(request(0, [here, away]));
});

test('a name that is no digest never becomes a path', async () => {
  const { run, connection } = await connected();
  for (const digest of ['../../../etc/passwd', 'A'.repeat(64), 'a'.repeat(65), `${'a'.repeat(64)}\n`, '']) {
    const blob = { ...blobOfBytes(Buffer.from('x')), digest };
    await assert.rejects(run(request(0, [blob])), { code: 'protocol', message: /expected 64 hexadecimal digits$/ });
    await assert.rejects(new BlobUploader(connection.blobs, 'peer').ensure([blob]), { code: 'protocol' });
  }
});

test('one task computes, a few wait, more are refused as busy', async () => {
  const release = gate();
  const { run, executor } = await connected({
    maxWaiting: 1,
    run: (received) => release.opened.then(() => squareOfFirstShard(received)),
  });
  const first = run(request(1));
  await until('the first computes', () => executor.started.length === 1);
  // Whichever of the two comes second finds no place.
  const others = Promise.allSettled([run(request(2)), run(request(3))]);
  const refused = await Promise.race([others, run(request(4)).catch((error: EspalierError) => error.code)]);
  assert.equal(refused, 'worker_busy');
  release.open();
  await first;
  const codes = (await others).map((outcome) => (outcome.status === 'fulfilled' ? 'done' : outcome.reason.code));
  assert.deepEqual(codes.sort(), ['done', 'worker_busy']);
});

test('a passed deadline aborts the task and frees the worker', async () => {
  let reason: unknown;
  const { run } = await connected({
    run: (received, signal) => {
      if (received.taskId !== 'fisher/0') return squareOfFirstShard(received);
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason);
        });
      });
    },
  });
  await assert.rejects(run(request(0), 200), { code: 'deadline' });
  await until('the executor is told', () => reason !== undefined, 1_000);
  assert.equal((reason as EspalierError).code, 'cancelled');
  await run(request(5));
});

test('a server that closes aborts what computes and its clients see an error that may pass', async () => {
  let reason: unknown;
  const { run, server, executor } = await connected({
    run: (_, signal) =>
      new Promise((__, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          reject(signal.reason);
        });
      }),
  });
  const running = run(request());
  running.catch(() => {});
  await until('it computes', () => executor.started.length === 1);
  await server.close();
  await assert.rejects(
    running,
    (error: EspalierError) => error.code === 'worker_unavailable' || error.code === 'cancelled',
  );
  await until('the executor is told', () => reason !== undefined);
});

test('drain waits for the task and gives up on one that never ends', async () => {
  const { run, server, executor } = await connected({ run: () => new Promise(() => {}) });
  const running = run(request());
  running.catch(() => {});
  await until('it computes', () => executor.started.length === 1);
  await server.drain(50);
  await assert.rejects(running);
});

test('a task that runs while its worker drains outlives the keepalives of its connection', async () => {
  const { opened, open } = gate();
  const { address, server, executor } = await connected({ run: (task) => opened.then(() => squareOfFirstShard(task)) });
  const keepalive = { 'grpc.keepalive_time_ms': 20, 'grpc.keepalive_timeout_ms': 5_000 };
  const client = new (protocol().Worker)(address, credentials.createInsecure(), keepalive);
  releases.add(() => client.close());
  const running = readTensors(client.run(request(3), { deadline: Date.now() + 10_000 }));
  running.catch(() => {});
  await until('it computes', () => executor.started.length === 1);
  const draining = server.drain(10_000);
  // Many keepalives long.
  await pause(400);
  open();
  assert.ok((await running).size > 0);
  await draining;
});

test('a port that is taken is a usage error', async () => {
  const { port } = await connected();
  await assert.rejects(startFakeWorker({ port }), { code: 'usage', message: new RegExp(`^127.0.0.1:${port}: cannot`) });
});

test('an unreachable worker is worker_unavailable', async () => {
  const connection = connectWorker('127.0.0.1:1');
  releases.add(() => connection.close());
  await assert.rejects(readTensors(connection.worker.run({})), { code: 'worker_unavailable' });
});

test('a request beyond the message limit is refused', async () => {
  const { run, executor } = await connected();
  const configJson = 'x'.repeat(70 * 1024 * 1024);
  const huge: RunRequestBody = { fisher: { model: { configJson } } };
  await assert.rejects(run(huge), { code: 'limit_exceeded' });
  assert.deepEqual(executor.started, []);
  assert.equal(status.RESOURCE_EXHAUSTED, 8);
});
