// The fleet over a real nats-server and real gRPC: who is there, who is left out, who is dropped.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import { describeClass } from '../../../coordinator/workers/device-class.ts';
import type { Fleet } from '../../../coordinator/workers/fleet.ts';
import { type OpenFleetOptions, openFleet } from '../../../coordinator/workers/open-fleet.ts';
import type { Workers } from '../../../coordinator/workers/workers.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { SILENT_MS } from '../../../shared/bus/heartbeat.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import { PROTOCOL_VERSION } from '../../../shared/rpc/protocol.ts';
import { type AnnouncedWorker, startAnnouncedWorker } from '../../support/announced-worker.ts';
import { FAKE_DEVICE, squareOfFirstShard } from '../../support/fake-executor.ts';
import { shardTask, shardTasks, squares } from '../../support/fake-tasks.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { gate, until } from '../../support/until.ts';

const OTHER_DEVICE: DeviceClass = { ...FAKE_DEVICE, kind: 'gpu', model: 'H200' };

let server: NatsServer;
let bus: Bus;
let releases = new Releases();
before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
});
after(async () => {
  await bus.close();
  await server.remove();
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function announced(options: Parameters<typeof startAnnouncedWorker>[1] = {}): Promise<AnnouncedWorker> {
  const worker = await startAnnouncedWorker(bus, options);
  releases.add(() => worker.close());
  return worker;
}

async function opened(options: Partial<OpenFleetOptions> = {}): Promise<{ fleet: Fleet; notices: string[] }> {
  const notices: string[] = [];
  const onNotice = (text: string) => notices.push(text);
  const fleet = await openFleet({ bus, tls: null, insecure: false, coordinatorId: 'c', onNotice, ...options });
  releases.add(() => fleet.close());
  return { fleet, notices };
}

interface Joining {
  readonly id?: string;
  readonly deviceClass?: DeviceClass | null;
  readonly signal?: AbortSignal;
  readonly events?: JobEvent[];
}

async function joined(fleet: Fleet, { id = 'job', deviceClass = null, signal, events }: Joining = {}) {
  const workers: Workers = await fleet.join({
    id,
    campaign: 'campaign',
    priority: 0,
    deviceClass,
    models: [],
    onEvent: (event) => events?.push(event),
    signal: signal ?? new AbortController().signal,
  });
  releases.add(() => workers.close());
  return workers;
}

test('workers that announce themselves are used; one that is gone is not', async () => {
  const { fleet } = await opened();
  const workers = [await announced(), await announced()];
  await until('both are there', () => fleet.size === 2);
  const events: JobEvent[] = [];
  const job = await joined(fleet, { events });
  assert.equal(job.count, 2);
  assert.equal(job.memoryBytes, 1e9);
  assert.deepEqual(job.deviceClass, FAKE_DEVICE);
  assert.deepEqual(squares(await job.runTasks(shardTasks(20))), squaresTo(20));
  workers[0].beat({ state: 'gone' });
  await until('it is gone', () => fleet.size === 1);
  assert.equal(job.count, 1);
  assert.deepEqual(events.slice(2), [{ kind: 'worker-lost', worker: workers[0].address, reason: 'it has ended' }]);
  assert.deepEqual(squares(await job.runTasks(shardTasks(5))), squaresTo(5));
  await workers[1].close();
  await until('it is lost', () => job.count === 0);
  assert.deepEqual(events.slice(3), [
    { kind: 'worker-lost', worker: workers[1].address, reason: 'the connection dropped' },
  ]);
});

test('a job waits until a worker is there, and says so', async () => {
  const { fleet } = await opened();
  const events: JobEvent[] = [];
  const joining = joined(fleet, { events });
  await until('it says so', () => events.length > 0);
  assert.deepEqual(events, [{ kind: 'notice', text: 'waits for a worker' }]);
  await announced();
  assert.equal((await joining).count, 1);
});

test('every coordinator tells how many tasks wait in all, a job without any worker included', async () => {
  const one = await connectBus(server.settings());
  releases.add(() => one.close());
  const { fleet } = await opened();
  const { fleet: other } = await opened({ bus: one, coordinatorId: 'd' });
  const pending = () => [fleet.pendingTasks, fleet.clusterPendingTasks, other.pendingTasks, other.clusterPendingTasks];
  assert.deepEqual(pending(), [0, 0, 0, 0]);
  const joining = joined(fleet);
  const stop = new AbortController();
  const waiting = joined(other, { id: 'waiting', deviceClass: OTHER_DEVICE, signal: stop.signal });
  await until('both have heard', () => pending().join() === '1,2,1,2');

  const compute = gate();
  await announced({
    run: async (request) => {
      await compute.opened;
      return squareOfFirstShard(request);
    },
  });
  const running = (await joining).runTasks(shardTasks(7));
  // The worker has two: one that computes, one that waits there.
  await until('both have heard', () => pending().join() === '5,6,1,6');
  stop.abort();
  await assert.rejects(waiting);
  await until('the one that gave up is gone', () => pending().join() === '5,5,0,5');
  await other.close();
  compute.open();
  assert.equal((await running).length, 7);
  assert.equal(fleet.clusterPendingTasks, 0);
});

test('a job that is cancelled while it waits gives up', async () => {
  const { fleet } = await opened();
  const cancel = new AbortController();
  const joining = joined(fleet, { signal: cancel.signal });
  cancel.abort(new EspalierError('lease_lost', 'another has it'));
  await assert.rejects(joining, { code: 'lease_lost', message: 'another has it' });
});

test('cancelling a job ends what it runs, and nothing of others', async () => {
  const release = gate();
  const { fleet } = await opened();
  const worker = await announced({
    run: async (request, signal) => {
      await Promise.race([release.opened, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
      signal.throwIfAborted();
      return squareOfFirstShard(request);
    },
  });
  const cancel = new AbortController();
  const leaving = await joined(fleet, { id: 'leaving', signal: cancel.signal });
  const staying = await joined(fleet, { id: 'staying' });
  const cancelled = leaving.runTasks(shardTasks(3));
  await until('it computes', () => worker.executor.started.length === 1);
  const other = staying.runTasks(shardTasks(3));
  cancel.abort(new EspalierError('cancelled', 'by the user'));
  await assert.rejects(cancelled, { code: 'cancelled', message: 'by the user' });
  release.open();
  assert.deepEqual(squares(await other), squaresTo(3));
  await assert.rejects(leaving.runTasks(shardTasks(1)), { code: 'cancelled' });
});

test('a silent worker is dropped and its task goes elsewhere; heard again, it is used again', async () => {
  const clock = new ManualClock();
  const { fleet } = await opened({ clock });
  const release = gate();
  const events: JobEvent[] = [];
  const silent = await announced({ run: (request) => release.opened.then(() => squareOfFirstShard(request)) });
  await until('it is there', () => fleet.size === 1);
  const job = await joined(fleet, { events });
  const running = job.runTasks([shardTask(3)]);
  await until('it computes', () => silent.executor.started.length === 1);
  const other = await announced();
  await until('both are there', () => fleet.size === 2);
  for (let second = 0; second < 8; second += 1) {
    // What was asked of the server afterwards is answered after the heartbeat has come.
    other.beat();
    await bus.jobs.get('job.none');
    clock.advance(1_000);
  }
  assert.equal(fleet.size, 1);
  const { address } = silent;
  const lost = { kind: 'worker-lost', worker: address, reason: `it was silent for ${SILENT_MS / 1000} s` };
  assert.deepEqual(events.at(-1), lost);
  assert.deepEqual(squares(await running), [9]);
  assert.ok(other.executor.started.includes('fisher/3'));
  release.open();
  silent.beat();
  other.beat();
  await until('it is back', () => fleet.size === 2);
  assert.deepEqual(events.at(-1), { kind: 'worker-joined', worker: address, device: describeClass(FAKE_DEVICE) });
});

test('silence does not count while the bus is away', async () => {
  const clock = new ManualClock();
  let isConnected = true;
  const { fleet } = await opened({
    clock,
    bus: new Proxy(bus, { get: (target, key) => (key === 'isConnected' ? isConnected : Reflect.get(target, key)) }),
  });
  await announced();
  await until('it is there', () => fleet.size === 1);
  isConnected = false;
  for (let second = 0; second < 30; second += 1) clock.advance(1_000);
  assert.equal(fleet.size, 1);
  isConnected = true;
  for (let second = 0; second < 6; second += 1) clock.advance(1_000);
  assert.equal(fleet.size, 1, 'counted from when it came back');
  for (let second = 0; second < 3; second += 1) clock.advance(1_000);
  assert.equal(fleet.size, 0);
});

test('after a pause of this process nobody is dropped for it', async () => {
  const clock = new ManualClock();
  const { fleet } = await opened({ clock });
  await announced();
  await until('it is there', () => fleet.size === 1);
  const jump = clock.now.bind(clock);
  clock.now = () => jump() + 60_000;
  clock.advance(1_000);
  assert.equal(fleet.size, 1);
});

test('a draining worker is sent nothing more; what it hands back runs elsewhere and counts as no failure', async () => {
  const { fleet } = await opened();
  const release = gate();
  const draining = await announced({ run: (request) => release.opened.then(() => squareOfFirstShard(request)) });
  await until('it is there', () => fleet.size === 1);
  const job = await joined(fleet);
  const running = job.runTasks(shardTasks(4));
  await until('it computes', () => draining.executor.started.length === 1);
  draining.beat({ state: 'draining' });
  await until('it is known', () => fleet.size === 0);
  const drained = draining.server.drain(10_000);
  const other = await announced();
  release.open();
  assert.deepEqual(squares(await running), squaresTo(4));
  await drained;
  assert.deepEqual(draining.executor.started, ['fisher/0']);
  assert.equal(other.executor.started.length, 3);
});

test('two classes in one fleet: a job stays in one, the recorded one or the one with most workers for it', async () => {
  const { fleet } = await opened();
  const cpus = [await announced(), await announced(), await announced()];
  const gpu = await announced({ deviceClass: OTHER_DEVICE });
  await until('all are there', () => fleet.size === 4);
  const planned = await joined(fleet, { id: 'planned', deviceClass: OTHER_DEVICE });
  const free = await joined(fleet, { id: 'free' });
  assert.equal(planned.count, 1);
  assert.deepEqual(planned.deviceClass, OTHER_DEVICE);
  assert.equal(free.count, 3);
  await Promise.all([planned.runTasks(shardTasks(10)), free.runTasks(shardTasks(30))]);
  assert.equal(gpu.executor.started.length, 10);
  assert.equal(
    cpus.reduce((sum, { executor }) => sum + executor.started.length, 0),
    30,
  );
});

test('a job waits for its recorded class while others are there', async () => {
  const { fleet } = await opened();
  await announced();
  await until('it is there', () => fleet.size === 1);
  const events: JobEvent[] = [];
  const joining = joined(fleet, { deviceClass: OTHER_DEVICE, events });
  await until('it says so', () => events.length > 0);
  assert.match(JSON.stringify(events), /waits for a worker of class gpu H200, 1 thread/);
  await announced({ deviceClass: OTHER_DEVICE });
  assert.deepEqual((await joining).deviceClass, OTHER_DEVICE);
});

test('without TLS only workers of this machine are connected to', async () => {
  const { fleet, notices } = await opened();
  const worker = await announced();
  await until('it is there', () => fleet.size === 1);
  worker.beat({ address: 'gpu-7.example:7071' });
  worker.beat({ address: 'gpu-7.example:7071' });
  await until('it is told', () => notices.length > 0);
  assert.equal(fleet.size, 1);
  assert.deepEqual(notices, [
    'worker gpu-7.example:7071 is left out: without TLS only workers of this machine are used',
  ]);
});

test('messages that are no heartbeats are told of once and change nothing', async () => {
  const { fleet, notices } = await opened();
  for (const text of ['', '{', '{"schema":9}', 'x'.repeat(100_000)])
    bus.publish('espalier.worker.liar', Buffer.from(text));
  await announced();
  await until('the right one is there', () => fleet.size === 1);
  assert.deepEqual(notices, ['a heartbeat that cannot be used: got no JSON']);
});

function squaresTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i * i);
}

test('a worker of another version is left out with one notice', async () => {
  const { fleet, notices } = await opened();
  const worker = await announced({ host: 'h' });
  await until('it is there', () => fleet.size === 1);
  worker.beat({ address: '127.0.0.1:9', version: '9.9.9' });
  worker.beat({ address: '127.0.0.1:9', version: '9.9.9' });
  worker.beat({ address: '127.0.0.1:8', protocolVersion: 99 });
  await until('both are told', () => notices.length === 2);
  const got = `got version 9.9.9, protocol ${PROTOCOL_VERSION}`;
  assert.ok(notices[0]?.startsWith(`worker 127.0.0.1:9 is left out: ${got}, expected version `), notices[0]);
  assert.match(notices[1] ?? '', /^worker 127\.0\.0\.1:8 is left out: got version .*, protocol 99, expected /);
  assert.equal(fleet.size, 1);
});
