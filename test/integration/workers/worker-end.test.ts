// The end of a worker process: what SIGTERM, or a terminal that closes, lets it finish, for how long, and what a second signal does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';
import { BlobUploader } from '../../../shared/rpc/blob-upload.ts';
import { connectWorker } from '../../../shared/rpc/channel.ts';
import { readTensors } from '../../../shared/rpc/tensor-stream.ts';
import { tinyTask } from '../../support/tiny-task.ts';
import { until } from '../../support/until.ts';

async function started(t: test.TestContext, ...flags: string[]) {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-end-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const program = path.join(projectRoot(), 'dist/worker/main.js');
  const own = ['--port', '0', '--metrics-port', '0', '--device', 'cpu', '--queue', '0', '--blob-dir', folder];
  const child = spawn(process.execPath, [program, ...own, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const served = () => /"message":"serving".*"port":(\d+)/.exec(log);
  await until('the worker serves', () => served() !== null, 60_000);
  const connection = connectWorker(`127.0.0.1:${served()![1]}`);
  t.after(() => connection.close());
  return { child, exited, connection, log: () => log };
}

/** Begins a task that computes for as long as it has repeats. */
async function begin(t: test.TestContext, { connection }: Awaited<ReturnType<typeof started>>, repeats: number) {
  const { request, weights, plan } = await tinyTask(t);
  await new BlobUploader(connection.blobs, 'worker').ensure([weights, plan]);
  await readTensors(connection.worker.run(request, { deadline: Date.now() + 30_000 }));
  const none = Buffer.alloc(0);
  const dense = { headMask: none, neuronMask: none, headScales: none, neuronScales: none };
  const model = request.evaluate?.model ?? null;
  const latency = { model, students: [dense], batchSize: 256, tokens: 32, repeats };
  const call = connection.worker.run(
    { taskId: 'latency', task: 'latency', latency },
    { deadline: Date.now() + 60_000 },
  );
  const answer = readTensors(call);
  answer.catch(() => {});
  // With no place to wait in, others are refused from the moment that it has come in; a few answers later it computes.
  for (let refused = 0; refused < 20; )
    await readTensors(connection.worker.run(request, { deadline: Date.now() + 30_000 })).catch(
      (error: { code: string }) => {
        assert.equal(error.code, 'worker_busy');
        refused += 1;
      },
    );
  return { answer };
}

for (const signal of ['SIGTERM', 'SIGHUP'] as const)
  test(`${signal} drains a worker and ends it with exit code 0, not with a crash of its engine`, async (t) => {
    const { child, exited, log } = await started(t);
    child.kill(signal);
    assert.deepEqual(await exited, [0, null], log());
  });

test('SIGTERM lets a task end that computes', async (t) => {
  const worker = await started(t, '--drain-seconds', '60');
  const { answer } = await begin(t, worker, 60);
  worker.child.kill('SIGTERM');
  assert.equal((await answer).get('seconds')?.data.length, 60);
  assert.deepEqual(await worker.exited, [0, null], worker.log());
});

test('a task that takes longer than the drain is given up, and the exit code is still 0', async (t) => {
  const worker = await started(t, '--drain-seconds', '0.2');
  const { answer } = await begin(t, worker, 1000);
  worker.child.kill('SIGTERM');
  await assert.rejects(answer, (error: Error & { code: string }) =>
    ['worker_unavailable', 'cancelled'].includes(error.code),
  );
  assert.deepEqual(await worker.exited, [0, null], worker.log());
});

test('a second signal ends it at once', async (t) => {
  const worker = await started(t, '--drain-seconds', '60');
  await begin(t, worker, 1000);
  worker.child.kill('SIGTERM');
  await until('it drains', () => worker.log().includes('"message":"draining"'));
  worker.child.kill('SIGTERM');
  assert.deepEqual(await worker.exited, [null, 'SIGKILL']);
});
