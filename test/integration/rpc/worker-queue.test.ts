// The places of a worker that several coordinators share: the hint when to come back, turns among callers, what a drain
// finishes and what it hands back, and latency tasks alone on a CPU.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import type { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { createLog, SILENT_LOG } from '../../../shared/log.ts';
import { openChannel } from '../../../shared/rpc/channel.ts';
import { protocol, type RunRequestBody } from '../../../shared/rpc/protocol.ts';
import { readTensors } from '../../../shared/rpc/tensor-stream.ts';
import { cpuTurns } from '../../../worker/service/device-turns.ts';
import {
  type FakeRun,
  type FakeWorker,
  type FakeWorkerOptions,
  squareOfFirstShard,
  startFakeWorker,
} from '../../support/fake-executor.ts';
import { shardTask } from '../../support/fake-tasks.ts';
import { until } from '../../support/until.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function started(options: FakeWorkerOptions): Promise<FakeWorker> {
  const worker = await startFakeWorker(options);
  releases.add(() => worker.close());
  return worker;
}

/** A coordinator, with a connection of its own. */
function caller({ address }: FakeWorker) {
  const { channel, channelCredentials } = openChannel(address, 'worker', null, { 'grpc.use_local_subchannel_pool': 1 });
  releases.add(() => channel.close());
  const client = new (protocol().Worker)(address, channelCredentials, { channelOverride: channel });
  return (request: RunRequestBody, deadlineMs = 20_000) =>
    readTensors(client.run(request, { deadline: Date.now() + deadlineMs }));
}

const task = (index: number): RunRequestBody => ({ taskId: `fisher/${index}`, ...shardTask(index).request });
const latency: RunRequestBody = { taskId: 'latency', task: 'latency', latency: { model: { configJson: '{}' } } };

/** Answers task by task, each when the test says so. */
function steps(): { run: FakeRun; next: () => void } {
  const waiting: (() => void)[] = [];
  return {
    run: (request) =>
      new Promise((resolve) => waiting.push(() => resolve(request.fisher ? squareOfFirstShard(request) : []))),
    next: () => waiting.shift()?.(),
  };
}

test('a caller that finds no place is told when to come back, by what tasks take', async () => {
  const { run, next } = steps();
  const worker = await started({ run, maxWaiting: 0 });
  const ask = caller(worker);
  const refused = async (): Promise<EspalierError> => {
    const error = await ask(task(9)).then(
      () => assert.fail('there was a place'),
      (caught: EspalierError) => caught,
    );
    assert.equal(error.code, 'worker_busy');
    return error;
  };
  const first = ask(task(1));
  await until('the first computes', () => worker.executor.started.length === 1);
  assert.equal((await refused()).retryAfterMs, 1_000, 'nothing is known yet');
  const tookMs = 150;
  const since = performance.now();
  await until('it has taken a while', () => performance.now() - since >= tookMs);
  next();
  await first;
  const second = ask(task(2));
  await until('the second computes', () => worker.executor.started.length === 2);
  const { retryAfterMs } = await refused();
  assert.ok(retryAfterMs !== null && retryAfterMs >= tookMs - 10 && retryAfterMs < 1_000, `${retryAfterMs}`);
  next();
  await second;
});

test('callers take turns, however many tasks one of them has waiting', async () => {
  const { run, next } = steps();
  const worker = await started({ run, maxWaiting: 8 });
  const [greedy, modest] = [caller(worker), caller(worker)];
  const answers = [greedy(task(1))];
  await until('it computes', () => worker.executor.started.length === 1);
  for (const index of [2, 3, 4]) {
    answers.push(greedy(task(index)));
    await until('it waits', () => worker.server.tasks === index);
  }
  answers.push(modest(task(5)));
  await until('it waits', () => worker.server.tasks === 5);
  for (let done = 1; done <= 5; done += 1) {
    await until('one computes', () => worker.executor.started.length === done);
    next();
  }
  await Promise.all(answers);
  assert.deepEqual(
    worker.executor.started,
    [1, 5, 2, 3, 4].map((index) => `fisher/${index}`),
  );
  assert.equal(worker.server.tasks, 0);
});

test('a task whose caller goes away while it waits leaves its place at once', async () => {
  const { run, next } = steps();
  const worker = await started({ run, maxWaiting: 1 });
  const ask = caller(worker);
  const first = ask(task(1));
  await until('the first computes', () => worker.executor.started.length === 1);
  await assert.rejects(ask(task(2), 100), { code: 'deadline' });
  await until('its place is free', () => worker.server.tasks === 1);
  const third = ask(task(3));
  await until('the third waits', () => worker.server.tasks === 2);
  next();
  await until('the third computes', () => worker.executor.started.length === 2);
  next();
  await Promise.all([first, third]);
  assert.deepEqual(worker.executor.started, ['fisher/1', 'fisher/3']);
});

test('a drain finishes what computes, hands back what waits at once, and refuses the rest', async () => {
  const { run, next } = steps();
  const worker = await started({ run, maxWaiting: 4 });
  const ask = caller(worker);
  const first = ask(task(1));
  await until('the first computes', () => worker.executor.started.length === 1);
  const waiting = [ask(task(2)), ask(task(3))];
  await until('two wait', () => worker.server.tasks === 3);
  const drained = worker.server.drain(10_000);
  for (const handedBack of waiting)
    await assert.rejects(handedBack, { code: 'worker_unavailable', message: /the worker is shutting down$/ });
  await assert.rejects(ask(task(4)), { code: 'worker_unavailable' });
  next();
  assert.equal((await first).get('square')?.data[0], 1);
  await drained;
  assert.deepEqual(worker.executor.started, ['fisher/1']);
});

test('a latency task computes alone among the workers of a machine', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-turns-'));
  releases.add(() => rm(folder, { recursive: true, force: true }));
  const own = [steps(), steps()];
  const [one, two] = await Promise.all(own.map(({ run }) => started({ run, turns: cpuTurns(folder, SILENT_LOG) })));
  const [askOne, askTwo] = [caller(one), caller(two)];
  const both = [askOne(task(1)), askTwo(task(2))];
  await until('both compute at once', () => one.executor.isComputing && two.executor.isComputing);
  own[1].next();
  await both[1];
  const alone = askTwo(latency);
  await until('it has its turn in the queue', () => two.server.tasks === 1);
  assert.deepEqual(two.executor.started, ['fisher/2'], 'it waits for the other worker');
  own[0].next();
  await both[0];
  await until('it computes', () => two.executor.isComputing);
  const after = askOne(task(3));
  await until('the other has a task', () => one.server.tasks === 1);
  assert.equal(one.executor.isComputing, false);
  own[1].next();
  await alone;
  await until('the other goes on', () => one.executor.isComputing);
  own[0].next();
  await after;
});

test('no worker waits for ever for one that hangs in its turn', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-turns-'));
  releases.add(() => rm(folder, { recursive: true, force: true }));
  const hanging = await cpuTurns(folder, SILENT_LOG).enter('exclusive', new AbortController().signal);
  const lines: string[] = [];
  const log = createLog({}, (line) => lines.push(line));
  const worker = await started({ turns: cpuTurns(folder, log, 50) });
  assert.equal((await caller(worker)(task(3))).get('square')?.data[0], 9);
  assert.match(lines.join(''), /"message":"computing beside another worker"/);
  await hanging();
});
