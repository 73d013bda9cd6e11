// The scheduler against real gRPC servers: results do not depend on which worker ran what, how often, or in which order.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Scheduler } from '../../../coordinator/workers/scheduler.ts';
import { type WorkerEvent, WorkerPool } from '../../../coordinator/workers/worker-pool.ts';
import { blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import {
  FAKE_DEVICE,
  type FakeWorker,
  type FakeWorkerOptions,
  squareOfFirstShard,
  startFakeWorker,
} from '../../support/fake-executor.ts';
import { shardTask, shardTasks, squares } from '../../support/fake-tasks.ts';
import { gate, until } from '../../support/until.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function fakeWorker(options: FakeWorkerOptions = {}): Promise<FakeWorker> {
  const worker = await startFakeWorker(options);
  releases.add(() => worker.close());
  return worker;
}

async function schedulerFor(addresses: readonly string[], graceMs = 10_000) {
  const events: WorkerEvent[] = [];
  const pool = new WorkerPool({ addresses, graceMs, onEvent: (event) => events.push(event) });
  releases.add(() => pool.close());
  const scheduler = new Scheduler(pool);
  releases.add(() => scheduler.close());
  await pool.ready();
  return { pool, scheduler, events };
}

const expectedSquares = (count: number) => Array.from({ length: count }, (_, i) => i * i);

/** Answers after a time that differs from task to task, so that tasks are done out of order. */
async function slowly(request: RunRequest) {
  await pause(((request.fisher?.shards?.first ?? 0) * 7) % 10);
  return squareOfFirstShard(request);
}

test('results come in the order of the tasks, whatever the order in which they are done', async () => {
  const workers = [await fakeWorker({ run: slowly }), await fakeWorker({ run: slowly })];
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  const done: string[] = [];
  const results = await scheduler.runTasks(shardTasks(40), { onDone: ({ id }) => done.push(id) });
  assert.deepEqual(squares(results), expectedSquares(40));
  assert.equal(new Set(done).size, 40);
  for (const { executor } of workers) assert.ok(executor.started.length >= 10, 'both work');
});

test('no tasks is a result', async () => {
  const { address } = await fakeWorker();
  const { scheduler } = await schedulerFor([address]);
  assert.deepEqual(await scheduler.runTasks([]), []);
});

test('each task is sent once when nothing fails', async () => {
  const { address, executor } = await fakeWorker();
  const { scheduler } = await schedulerFor([address]);
  await scheduler.runTasks(shardTasks(20));
  assert.deepEqual(
    [...executor.started].sort(),
    shardTasks(20)
      .map(({ id }) => id)
      .sort(),
  );
});

test('what is brought ahead is there before a task names it; what cannot be comes with the task', async () => {
  const workers = [await fakeWorker(), await fakeWorker()];
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  const [ahead, broken] = [1, 2].map((fill) => blobOfBytes(Buffer.alloc(1000, fill)));
  let isReadable = false;
  const late = {
    ...broken,
    open: () => {
      if (!isReadable) throw new EspalierError('disk_full', 'not yet');
      return broken.open();
    },
  };
  const elsewhere = { ...blobOfBytes(Buffer.alloc(10, 3)), origin: 'store' as const };
  scheduler.bring([ahead, late, elsewhere]);
  await until('both have it', async () => {
    const missing = await Promise.all(workers.map(({ blobs }) => blobs.missing([ahead.digest])));
    return missing.flat().length === 0;
  });
  isReadable = true;
  await scheduler.runTasks(shardTasks(4, () => ({ blobs: [ahead, late] })));
  for (const { blobs } of workers)
    assert.deepEqual(await blobs.missing([ahead.digest, late.digest, elsewhere.digest]), [elsewhere.digest]);
});

test('a key stays with its worker, and keys are spread evenly', async () => {
  const workers = [await fakeWorker({ run: slowly }), await fakeWorker({ run: slowly })];
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  // Each worker takes two tasks of its two keys at once: nothing is left to steal.
  const tasks = shardTasks(4, (index) => ({ affinity: `shard ${index}` }));
  for (let round = 0; round < 5; round += 1) await scheduler.runTasks(tasks);
  for (const { executor } of workers) {
    assert.equal(executor.started.length, 10);
    assert.equal(new Set(executor.started).size, 2);
  }
});

test('a job that rests lends its home to others until its next tasks', async () => {
  const workers = [await fakeWorker(), await fakeWorker()];
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  const [one, other] = ['one', 'other'].map((id) => scheduler.join({ id, priority: 0, deviceClass: null, models: [] }));
  assert.deepEqual([one.homeSize, other.homeSize], [1, 1]);
  one.rest();
  assert.equal(other.homeSize, 2);
  assert.deepEqual(squares(await one.runTasks(shardTasks(3))), expectedSquares(3));
  assert.deepEqual([one.homeSize, other.homeSize], [1, 1]);
});

test('an idle worker takes what waits for a busy one', async () => {
  const release = gate();
  const held: FakeWorkerOptions = { run: (request) => release.opened.then(() => squareOfFirstShard(request)) };
  const workers = [await fakeWorker(held), await fakeWorker(held)];
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  const running = scheduler.runTasks(shardTasks(12, () => ({ affinity: 'the same' })));
  await until('both compute', () => workers.every(({ executor }) => executor.started.length === 1));
  release.open();
  assert.deepEqual(squares(await running), expectedSquares(12));
});

test('a worker that is killed in mid-run costs nothing but time, and is used again when it is back', async () => {
  const release = gate();
  let victim = await fakeWorker({ run: (request) => release.opened.then(() => squareOfFirstShard(request)) });
  const survivor = await fakeWorker({ run: slowly });
  const { scheduler, events, pool } = await schedulerFor([victim.address, survivor.address]);
  const blob = blobOfBytes(Buffer.from('weights'));
  const running = scheduler.runTasks(shardTasks(30, (i) => ({ blobs: [blob], affinity: `shard ${i}` })));
  await until('the victim computes', () => victim.executor.started.length === 1);
  await victim.close();
  assert.deepEqual(squares(await running), expectedSquares(30));
  assert.ok(events.some((event) => event.kind === 'worker-lost' && event.worker === victim.address));

  victim = await fakeWorker({ port: victim.port });
  await until('it is back', () => pool.workers.length === 2);
  // Its blob folder is a new one: what it knew must be forgotten.
  const again = await scheduler.runTasks(shardTasks(30, () => ({ blobs: [blob] })));
  assert.deepEqual(squares(again), expectedSquares(30));
  assert.ok(victim.executor.started.length > 0);
  release.open();
});

test('a stream that is cut in the middle of a tensor is read again from the start', async () => {
  const data = new Float64Array(8 * 1024 * 1024).fill(3);
  const big = () => [{ name: 'rows', dtype: 'F64' as const, shape: [data.length], data }];
  const first = await fakeWorker({ run: big });
  const { scheduler } = await schedulerFor([first.address]);
  const running = scheduler.runTasks([shardTask(0)]);
  await until('it computes', () => first.executor.started.length === 1);
  await first.close();
  const second = await fakeWorker({ run: big, port: first.port });
  const [result] = await running;
  assert.equal(second.executor.started.length, 1);
  assert.deepEqual(result.get('rows')?.data, data);
});

test('the only worker restarts: tasks wait for it within the grace period', async () => {
  let worker = await fakeWorker({ run: slowly });
  const { scheduler } = await schedulerFor([worker.address]);
  const running = scheduler.runTasks(shardTasks(50));
  await until('some are done', () => worker.executor.started.length > 5);
  await worker.close();
  worker = await fakeWorker({ run: slowly, port: worker.port });
  assert.deepEqual(squares(await running), expectedSquares(50));
});

test('no worker for the grace period fails what waits', async () => {
  const worker = await fakeWorker({ run: (_, signal) => untilAborted(signal) });
  const { scheduler } = await schedulerFor([worker.address], 300);
  const running = scheduler.runTasks(shardTasks(3));
  await until('it computes', () => worker.executor.started.length === 1);
  await worker.close();
  await assert.rejects(running, { code: 'no_workers', message: new RegExp(`${worker.address}: `) });
});

test('workers that are gone for good fail what waits at once', async () => {
  const worker = await fakeWorker({ run: (_, signal) => untilAborted(signal) });
  const { scheduler, pool } = await schedulerFor([worker.address], 60_000);
  const running = scheduler.runTasks(shardTasks(3));
  await until('it computes', () => worker.executor.started.length === 1);
  await worker.close();
  pool.remove(worker.address, 'ended by SIGKILL');
  await assert.rejects(running, {
    code: 'no_workers',
    message: `no worker is left; ${worker.address}: ended by SIGKILL`,
  });
});

test('nobody answers: no_workers says which addresses were tried', async () => {
  const pool = new WorkerPool({ addresses: ['127.0.0.1:1'], graceMs: 200 });
  releases.add(() => pool.close());
  await assert.rejects(pool.ready(), { code: 'no_workers', message: /127\.0\.0\.1:1: cannot be reached/ });
});

test('an address that nobody answers at is told of when others do', async () => {
  const worker = await fakeWorker();
  const { events } = await schedulerFor([worker.address, '127.0.0.1:1']);
  const notices = events.flatMap((event) => (event.kind === 'notice' ? event.text : []));
  assert.deepEqual(notices, ['worker 127.0.0.1:1 cannot be reached; it is tried again']);
});

test('a failure that cannot pass ends the run at once and cancels the rest', async () => {
  const aborted: string[] = [];
  const run = async (request: RunRequest, signal: AbortSignal) => {
    if (request.taskId === 'fisher/1')
      throw new EspalierError('not_finite', 'layer 3: got NaN', { action: 'look at it' });
    await untilAborted(signal).catch(() => aborted.push(request.taskId));
    return [];
  };
  const workers = [await fakeWorker({ run }), await fakeWorker({ run })];
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  const running = scheduler.runTasks(shardTasks(20));
  await assert.rejects(running, { code: 'not_finite', message: 'layer 3: got NaN', action: 'look at it' });
  await until('the other task is aborted', () => aborted.length > 0);
  const started = workers.flatMap(({ executor }) => executor.started);
  assert.ok(started.length <= 4, `nothing more was sent: ${started}`);
});

test('a failure that may pass is tried elsewhere, five times in all', async () => {
  const fail = () => {
    throw new EspalierError('engine', 'lost the device');
  };
  const bad = await fakeWorker({ run: fail });
  const good = await fakeWorker();
  const { scheduler } = await schedulerFor([bad.address, good.address]);
  assert.deepEqual(squares(await scheduler.runTasks(shardTasks(10))), expectedSquares(10));
  assert.ok(bad.executor.started.length <= 4, 'a failing worker is set aside');
});

test('a task that always fails gives up with its last error', async () => {
  let calls = 0;
  const workers = [];
  for (let i = 0; i < 3; i += 1)
    workers.push(
      await fakeWorker({
        run: () => {
          calls += 1;
          throw new EspalierError('engine', `failure ${calls}`);
        },
      }),
    );
  const { scheduler } = await schedulerFor(workers.map(({ address }) => address));
  await assert.rejects(scheduler.runTasks([shardTask(0)]), {
    code: 'engine',
    message: /^fisher\/0: failed 5 times, last on 127\.0\.0\.1:\d+: failure 5$/,
  });
  assert.equal(calls, 5);
});

test('cancelling reaches the executor within a second, and frees the worker', async () => {
  const worker = await fakeWorker({
    run: (request, signal) => (request.taskId === 'next' ? squareOfFirstShard(request) : untilAborted(signal)),
  });
  const { scheduler } = await schedulerFor([worker.address]);
  const controller = new AbortController();
  const running = scheduler.runTasks(shardTasks(20), { signal: controller.signal });
  await until('it computes', () => worker.executor.started.length === 1);
  controller.abort();
  await assert.rejects(running, { code: 'cancelled' });
  await until('the executor sees it', () => !worker.executor.isComputing, 1_000);
  await scheduler.runTasks([shardTask(0, { id: 'next' })]);
  // The one that waited at the worker may have begun before its own cancellation came.
  assert.ok(worker.executor.started.length <= 3, `${worker.executor.started}`);
});

test('a deadline aborts the executor, and the task is tried again', async () => {
  let calls = 0;
  let aborted = false;
  const run = async (request: RunRequest, signal: AbortSignal) => {
    calls += 1;
    if (calls === 1)
      await untilAborted(signal).finally(() => {
        aborted = true;
      });
    return squareOfFirstShard(request);
  };
  const { address } = await fakeWorker({ run });
  const { scheduler } = await schedulerFor([address]);
  const results = await scheduler.runTasks([shardTask(3, { deadlineMs: 300 })]);
  assert.deepEqual(squares(results), [9]);
  assert.ok(aborted);
});

test('an exclusive task has its worker to itself', async () => {
  const running = new Set<string>();
  const together: string[] = [];
  const workers = [await fakeWorker({ run: slowly })];
  const { scheduler, pool } = await schedulerFor(workers.map(({ address }) => address));
  const [worker] = pool.workers;
  // Observed at the worker's door: calls that were sent and have not ended.
  const send = worker.connection.worker.run.bind(worker.connection.worker);
  worker.connection.worker.run = ((request: { taskId: string }, options: object) => {
    const call = send(request, options);
    running.add(request.taskId);
    if (running.has('fisher/5') && running.size > 1) together.push([...running].join(' '));
    call.once('end', () => running.delete(request.taskId));
    return call;
  }) as typeof worker.connection.worker.run;
  await scheduler.runTasks(shardTasks(12, (index) => ({ exclusive: index === 5 })));
  assert.deepEqual(together, []);
});

test('more tasks than a worker takes in: several schedulers wait for their turn', async () => {
  const worker = await fakeWorker({ run: slowly, maxWaiting: 0 });
  const schedulers = await Promise.all([1, 2, 3].map(() => schedulerFor([worker.address])));
  const results = await Promise.all(schedulers.map(({ scheduler }) => scheduler.runTasks(shardTasks(5))));
  for (const result of results) assert.deepEqual(squares(result), expectedSquares(5));
});

test('a worker of another class is refused with a notice', async () => {
  const first = await fakeWorker();
  const other = await fakeWorker({ deviceClass: { ...FAKE_DEVICE, intraOpThreads: 8 } });
  const events: WorkerEvent[] = [];
  const pool = new WorkerPool({
    addresses: [first.address, other.address],
    deviceClass: FAKE_DEVICE,
    onEvent: (event) => events.push(event),
  });
  releases.add(() => pool.close());
  await pool.ready();
  assert.deepEqual(
    pool.workers.map(({ address }) => address),
    [first.address],
  );
  const notices = events.flatMap((event) => (event.kind === 'notice' ? event.text : []));
  assert.equal(notices.length, 1);
  assert.match(notices[0], /^\[device_class_mismatch\] .* got cpu fake, 8 threads, .* expected cpu fake, 1 thread,/);
});

test('a blob that the worker has evicted is sent again', async () => {
  const worker = await fakeWorker({ limitBytes: 1_000 });
  const { scheduler } = await schedulerFor([worker.address]);
  const blobs = [1, 2, 3].map((fill) => blobOfBytes(Buffer.alloc(600, fill)));
  for (let round = 0; round < 2; round += 1)
    for (const blob of blobs) await scheduler.runTasks([shardTask(2, { blobs: [blob] })]);
});

test('a draining worker finishes its task and takes no more', async () => {
  const release = gate();
  const run = (request: RunRequest) => release.opened.then(() => squareOfFirstShard(request));
  const workers = [await fakeWorker({ run }), await fakeWorker({ run })];
  const { scheduler, events } = await schedulerFor(workers.map(({ address }) => address));
  const first = scheduler.runTasks([shardTask(7)]);
  await until('it computes', () => workers.some(({ executor }) => executor.started.length === 1));
  const [leaving, staying] = workers.sort((a, b) => b.executor.started.length - a.executor.started.length);
  const drained = leaving.server.drain(10_000);
  const second = scheduler.runTasks([shardTask(8)]);
  await until('the other computes', () => staying.executor.started.length === 1);
  release.open();
  assert.deepEqual([squares(await first), squares(await second)], [[49], [64]]);
  await drained;
  assert.equal(leaving.executor.started.length, 1);
  await until('the pool knows', () => events.some(({ kind }) => kind === 'worker-lost'));
});

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
