// What runs where and when, over real gRPC, with a clock that the test moves.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import { describeClass } from '../../../coordinator/workers/device-class.ts';
import type { JobTasks, Scheduler } from '../../../coordinator/workers/scheduler.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { FAKE_DEVICE, type FakeRun, squareOfFirstShard } from '../../support/fake-executor.ts';
import { shardTask, shardTasks, squares } from '../../support/fake-tasks.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { gate, until } from '../../support/until.ts';
import { openSource, type TestSource } from '../../support/worker-list.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function opened(): Promise<{ source: TestSource; scheduler: Scheduler; clock: ManualClock; retries: string[] }> {
  const clock = new ManualClock();
  const retries: string[] = [];
  const source = openSource(clock, {
    taskDone() {},
    taskRetried: (kind, reason) => retries.push(`${kind} ${reason}`),
    bytes() {},
  });
  releases.add(() => source.close());
  return { source, scheduler: source.scheduler, clock, retries };
}

function join(scheduler: Scheduler, id: string, priority = 0): JobTasks {
  return scheduler.join({ id, priority, deviceClass: null, models: [] });
}

/** A job, and what it is told of workers since it was asked the last time: "+" and an address, "-" and why. */
function joinTold(scheduler: Scheduler, id: string): JobTasks & { told(): string[] } {
  const events: JobEvent[] = [];
  const onEvent = (event: JobEvent) => events.push(event);
  const tasks = scheduler.join({ id, priority: 0, deviceClass: null, models: [], onEvent });
  const told = () =>
    events.splice(0).flatMap((event) => {
      if (event.kind === 'worker-joined') return `+ ${event.worker} ${event.device}`;
      return event.kind === 'worker-lost' ? `- ${event.worker} ${event.reason}` : [];
    });
  return Object.assign(tasks, { told });
}

/** Holds each task until the test lets it go. */
function held(): { run: FakeRun; next(): void; openAll(): void; aborted: string[] } {
  const waiting: (() => void)[] = [];
  const aborted: string[] = [];
  let isOpen = false;
  const run = async (request: RunRequest, signal: AbortSignal) => {
    signal.addEventListener('abort', () => aborted.push(request.taskId));
    if (!isOpen)
      await new Promise<void>((resolve, reject) => {
        waiting.push(resolve);
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    return squareOfFirstShard(request);
  };
  return {
    run,
    next: () => waiting.shift()?.(),
    openAll: () => {
      isOpen = true;
      for (const resolve of waiting.splice(0)) resolve();
    },
    aborted,
  };
}

test('a short job is not behind a long one', async () => {
  const { source, scheduler } = await opened();
  const hold = held();
  const worker = await source.start({ run: hold.run });
  const long = join(scheduler, 'long');
  const short = join(scheduler, 'short');
  const running = long.runTasks(shardTasks(20, (i) => ({ id: `long/${i}` })));
  await until('it computes', () => worker.executor.started.length === 1);
  const done = short.runTasks([shardTask(3, { id: 'short' })]);
  hold.openAll();
  assert.deepEqual(squares(await done), [9]);
  await running;
  assert.ok(worker.executor.started.indexOf('short') <= 2, worker.executor.started.join(' '));
});

test('jobs take turns, and a higher priority goes first', async () => {
  const { source, scheduler } = await opened();
  const hold = held();
  const worker = await source.start({ run: hold.run });
  const runs = [
    ['a', 0],
    ['b', 0],
    ['urgent', 7],
  ].map(([id, priority]) =>
    join(scheduler, String(id), Number(priority)).runTasks(shardTasks(4, (i) => ({ id: `${id}/${i}` }))),
  );
  hold.openAll();
  await Promise.all(runs);
  const order = worker.executor.started;
  const urgent = order.flatMap((id, at) => (id.startsWith('urgent') ? at : []));
  // Two of the first were on their way already.
  assert.ok(Math.max(...urgent) <= 5, order.join(' '));
  const rest = order.filter((id) => !id.startsWith('urgent')).map((id) => id[0]);
  assert.ok(rest.join('').includes('bab') || rest.join('').includes('aba'), order.join(' '));
});

test('an idle worker takes what waits for another home, tasks without states at once', async () => {
  const { source, scheduler, clock } = await opened();
  const hold = held();
  const workers = [await source.start({ run: hold.run }), await source.start({ run: hold.run })];
  const jobs = [join(scheduler, 'a'), join(scheduler, 'b')];
  assert.deepEqual(
    jobs.map(({ homeSize }) => homeSize),
    [1, 1],
  );
  const free = jobs[0].runTasks(shardTasks(4, (i) => ({ id: `free/${i}` })));
  await until('both compute', () => workers.every(({ executor }) => executor.isComputing));
  hold.openAll();
  await free;

  const again = held();
  for (const worker of workers) worker.replaceRun(again.run);
  const startedBefore = workers.map(({ executor }) => executor.started.length);
  const bound = jobs[0].runTasks(shardTasks(3, (i) => ({ id: `bound/${i}`, affinity: 'tree' })));
  const count = () => workers.map(({ executor }, i) => executor.started.length - startedBefore[i]);
  await until('its home computes', () => count().some((started) => started === 1));
  clock.advance(400);
  assert.equal(count()[0] + count()[1], 1, 'the other idles: the states are not there');
  clock.advance(200);
  await until('it has waited for long', () => count().every((started) => started === 1));
  again.openAll();
  assert.deepEqual(squares(await bound), [0, 1, 4]);
});

test('what is slow runs a second time; the first result wins and the other try is cancelled', async () => {
  const { source, scheduler, clock, retries } = await opened();
  const slow = held();
  const fast: FakeRun = (request) => squareOfFirstShard(request);
  const workers = [await source.start({ run: fast }), await source.start({ run: fast })];
  const job = join(scheduler, 'a');
  await job.runTasks(shardTasks(6));
  for (const worker of workers) worker.replaceRun(slow.run);
  const before = workers.map(({ executor }) => executor.started.length);
  const running = job.runTasks([shardTask(5, { id: 'slow' })]);
  const startedBy = (i: number) => workers[i].executor.started.length > before[i];
  await until('one computes', () => startedBy(0) || startedBy(1));
  const first = startedBy(0) ? 0 : 1;
  const second = 1 - first;
  clock.advance(900);
  assert.ok(!startedBy(second), 'not before a second');
  workers[second].replaceRun(fast);
  clock.advance(300);
  assert.deepEqual(squares(await running), [25]);
  assert.ok(startedBy(second));
  await until('the slow try is cancelled', () => slow.aborted.includes('slow'));
  assert.deepEqual(retries, ['fisher slow']);
});

test('a task whose kind nobody has finished yet is not repeated', async () => {
  const { source, scheduler, clock, retries } = await opened();
  const hold = held();
  const workers = [await source.start({ run: hold.run }), await source.start({ run: hold.run })];
  const running = join(scheduler, 'a').runTasks([shardTask(1)]);
  await until('one computes', () => workers.some(({ executor }) => executor.isComputing));
  clock.advance(60_000);
  hold.openAll();
  await running;
  assert.deepEqual(retries, []);
});

test('a worker that fails repeatedly is set aside for growing pauses, and is used again once it works', async () => {
  const { source, scheduler, clock } = await opened();
  let failures = 3;
  const bad: FakeRun = (request) => {
    failures -= 1;
    if (failures >= 0) throw new EspalierError('engine', 'lost the device');
    return squareOfFirstShard(request);
  };
  const worker = await source.start({ run: bad });
  const running = join(scheduler, 'a').runTasks([shardTask(4)]);
  const { started } = worker.executor;
  for (const [tries, pauseMs] of [
    [1, 100],
    [2, 500],
    [3, 5_000],
  ]) {
    await until(`try ${tries}`, () => started.length === tries && scheduler.pendingTasks === 1);
    clock.advance(pauseMs - 1);
    assert.equal(scheduler.pendingTasks, 1, `still aside after ${pauseMs - 1} ms`);
    clock.advance(2);
  }
  assert.deepEqual(squares(await running), [16]);
  assert.equal(started.length, 4);
});

test('a busy worker is asked again when it said; its task goes elsewhere and loses no try', async () => {
  const { source, scheduler, clock, retries } = await opened();
  const busy: FakeRun = () => {
    throw new EspalierError('worker_busy', 'others are here', { retryAfterMs: 30_000 });
  };
  const first = await source.start({ run: busy });
  const job = join(scheduler, 'a');
  const running = job.runTasks([shardTask(2)]);
  await until('it was refused', () => retries.length === 1 && scheduler.pendingTasks === 1);
  for (let round = 0; round < 7; round += 1) {
    clock.advance(29_998);
    assert.equal(scheduler.pendingTasks, 1);
    const refused = retries.length;
    clock.advance(4);
    await until('it was refused again', () => retries.length > refused && scheduler.pendingTasks === 1);
  }
  assert.ok(retries.every((retry) => retry === 'fisher worker_busy'));
  const asked = first.executor.started.length;
  await source.start({});
  assert.deepEqual(squares(await running), [4]);
  assert.equal(first.executor.started.length, asked);
});

test('a task that fails everywhere does not set the workers aside for other jobs', async () => {
  const { source, scheduler, clock } = await opened();
  const run: FakeRun = (request) => {
    if (request.taskId === 'poison') throw new EspalierError('engine', 'always');
    return squareOfFirstShard(request);
  };
  const workers = [await source.start({ run }), await source.start({ run }), await source.start({ run })];
  const poisoned = join(scheduler, 'poisoned').runTasks([shardTask(0, { id: 'poison' })]);
  let isOver = false;
  poisoned.catch(() => {
    isOver = true;
  });
  await until('it gives up', () => {
    clock.advance(20);
    return isOver;
  });
  const tries = workers.map(({ executor }) => executor.started.length);
  assert.equal(
    tries.reduce((sum, count) => sum + count, 0),
    5,
  );
  await assert.rejects(poisoned, { code: 'engine' });
  assert.deepEqual(squares(await join(scheduler, 'other').runTasks(shardTasks(6))), [0, 1, 4, 9, 16, 25]);
});

test('an exclusive task has its machine to itself', async () => {
  const { source, scheduler } = await opened();
  const computing = new Map<string, string>();
  const together: string[] = [];
  const observed =
    (worker: string, host: string): FakeRun =>
    async (request) => {
      computing.set(worker, `${host} ${request.taskId}`);
      const here = [...computing.values()].filter((text) => text.startsWith(host));
      if (here.length > 1 && here.some((text) => text.endsWith('alone'))) together.push(here.join(', '));
      await new Promise((resolve) => setImmediate(resolve));
      computing.delete(worker);
      return squareOfFirstShard(request);
    };
  const workers = [
    await source.start({ run: observed('w0', 'left'), host: 'left' }),
    await source.start({ run: observed('w1', 'left'), host: 'left' }),
    await source.start({ run: observed('w2', 'right'), host: 'right' }),
  ];
  const busy = join(scheduler, 'busy').runTasks(shardTasks(60));
  const alone = Array.from({ length: 4 }, (_, i) =>
    join(scheduler, `timed ${i}`).runTasks([shardTask(i, { id: `${i} alone`, exclusive: true })]),
  );
  assert.deepEqual(squares((await Promise.all(alone)).flat()), [0, 1, 4, 9]);
  assert.equal((await busy).length, 60);
  assert.deepEqual(together, []);
  assert.ok(workers.every(({ executor }) => executor.started.length > 0));
});

test('a job that left gives its home to the others', async () => {
  const { source, scheduler } = await opened();
  await source.start({});
  await source.start({});
  const jobs = [join(scheduler, 'a'), join(scheduler, 'b')];
  assert.deepEqual(
    jobs.map(({ homeSize }) => homeSize),
    [1, 1],
  );
  jobs[0].leave();
  assert.equal(jobs[1].homeSize, 2);
  await assert.rejects(jobs[0].runTasks(shardTasks(1)), { code: 'cancelled' });
});

test('a job is told of the workers of its home that join and are lost, and of no others', async () => {
  const { source, scheduler, clock } = await opened();
  const fails: FakeRun = () => {
    throw new EspalierError('engine', 'lost the device');
  };
  const [one, two] = [await source.start({}), await source.start({})];
  const joined = ({ address }: { address: string }) => `+ ${address} ${describeClass(FAKE_DEVICE)}`;
  const first = joinTold(scheduler, 'first');
  assert.deepEqual(first.told(), [joined(one), joined(two)]);

  const second = joinTold(scheduler, 'second');
  const [moved] = second.told();
  const [mine, others] = moved === joined(one) ? [two, one] : [one, two];
  assert.equal(moved, joined(others));
  assert.deepEqual(first.told(), [`- ${others.address} it works for other jobs now`]);

  source.remove(others);
  assert.deepEqual([first.told(), second.told()[0]], [[], `- ${others.address} it is gone`]);
  second.leave();
  assert.deepEqual(second.told(), [], 'a job that leaves has lost nobody');

  mine.replaceRun(fails);
  const running = first.runTasks([shardTask(4)]);
  const { started } = mine.executor;
  for (const pauseMs of [100, 500]) {
    const tries = started.length;
    await until('it failed', () => started.length > tries && scheduler.pendingTasks === 1);
    assert.deepEqual(first.told(), [], 'a short pause is none of its business');
    clock.advance(pauseMs + 1);
  }
  await until('it is set aside', () => first.homeSize === 0);
  assert.deepEqual(first.told(), [`- ${mine.address} it is set aside for a while`]);
  mine.replaceRun(squareOfFirstShard);
  clock.advance(5_002);
  assert.deepEqual(squares(await running), [16]);
  assert.deepEqual(first.told(), [joined(mine)]);

  mine.pooled.isLeaving = true;
  source.changed();
  source.remove(mine);
  assert.deepEqual(first.told(), [`- ${mine.address} it drains`], 'told once');
});

test('no task waits when a job leaves with tasks in flight on a worker that is gone', async () => {
  const { source, scheduler } = await opened();
  const release = gate();
  const worker = await source.start({ run: (request) => release.opened.then(() => squareOfFirstShard(request)) });
  const job = join(scheduler, 'a');
  const running = job.runTasks([shardTask(0)]);
  await until('it computes', () => worker.executor.isComputing);
  source.remove(worker);
  job.leave(new EspalierError('lease_lost', 'another has it'));
  await assert.rejects(running, { code: 'lease_lost' });
  release.open();
});
