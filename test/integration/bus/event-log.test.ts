// The log of events on a real nats-server: in order, resumed, limited.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { until } from '../../support/until.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);

let server: NatsServer;
let bus: Bus;
let releases = new Releases();
before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true, limits: { eventsPerJob: 600 } });
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await bus?.close();
  await server?.remove();
});

async function append(job: string, from: number, to: number): Promise<number[]> {
  const sequences: number[] = [];
  for (let i = from; i < to; i += 1) sequences.push(await bus.events.append(job, bytes(`${job} ${i}`)));
  return sequences;
}

/** What a follower was told so far; `ended` resolves when it has ended. */
function follow(on: Bus, job: string, after: number) {
  const told: { sequence: number; event: string }[] = [];
  const stop = new AbortController();
  const ended = on.events.follow(
    job,
    after,
    (sequence, event) => told.push({ sequence, event: text(event) }),
    stop.signal,
  );
  releases.add(async () => {
    stop.abort();
    await ended;
  });
  return { told, stop, ended };
}

test('a follower gets what is kept, then what comes, of its job alone', async () => {
  const [first] = await append('job-a', 0, 3);
  await append('job-b', 0, 3);
  const all = follow(bus, 'job-a', 0);
  const later = follow(bus, 'job-a', first!);
  await append('job-b', 3, 5);
  await append('job-a', 3, 5);
  await until('the events', () => all.told.length === 5 && later.told.length === 4);
  assert.deepEqual(
    all.told.map(({ event }) => event),
    [0, 1, 2, 3, 4].map((i) => `job-a ${i}`),
  );
  assert.deepEqual(later.told, all.told.slice(1));
  all.stop.abort();
  await all.ended;
});

test('events that come while the server is away are told once, in order', async () => {
  const { told } = follow(bus, 'job-c', 0);
  await append('job-c', 0, 50);
  await until('the first events', () => told.length === 50);
  await server.stop();
  await until('the loss to be seen', () => !bus.isConnected);
  const appended = append('job-c', 50, 100);
  await server.start();
  await appended;
  await until('the others', () => told.length === 100, 20_000);
  assert.deepEqual(
    told.map(({ event }) => event),
    Array.from({ length: 100 }, (_, i) => `job-c ${i}`),
  );
});

test('pages of what is kept', async () => {
  const sequences = await append('job-d', 0, 300);
  const all = await bus.events.read('job-d', 0, 10_000);
  assert.deepEqual(
    all.map(({ sequence }) => sequence),
    sequences,
  );
  assert.equal(text(all.at(-1)!.event), 'job-d 299');
  assert.deepEqual(await bus.events.read('job-d', sequences[9]!, 260), all.slice(10, 270));
  assert.deepEqual(await bus.events.read('job-d', sequences.at(-1)!, 10), []);
  assert.deepEqual(await bus.events.read('job-never', 0, 10), []);
});

test('the oldest of a job make room for its new ones, and no other job loses any', async () => {
  await append('job-e', 0, 5);
  const sequences = await append('job-f', 0, 620);
  const kept = await bus.events.read('job-f', 0, 10_000);
  assert.deepEqual(
    kept.map(({ sequence }) => sequence),
    sequences.slice(20),
  );
  assert.equal((await bus.events.read('job-e', 0, 10)).length, 5);
  // One that was too far behind goes on with what is left.
  const { told } = follow(bus, 'job-f', sequences[3]!);
  await until('the kept events', () => told.length === 600);
});

test('removed with its job', async () => {
  await append('job-g', 0, 5);
  await append('job-h', 0, 5);
  await bus.events.remove('job-g');
  await bus.events.remove('job-g');
  assert.deepEqual(await bus.events.read('job-g', 0, 10), []);
  assert.equal((await bus.events.read('job-h', 0, 10)).length, 5);
});

test('a follower that cannot begin fails, with the reason', async () => {
  const short = await connectBus(server.settings(), { timeoutMs: 300 });
  releases.add(() => short.close());
  await server.stop();
  await until('the loss to be seen', () => !short.isConnected);
  await assert.rejects(
    short.events.follow('job-a', 0, () => {}, new AbortController().signal),
    {
      code: 'bus_unavailable',
      message: 'no connection to NATS',
    },
  );
  await server.start();
  await until('the connection', () => bus.isConnected);
});
