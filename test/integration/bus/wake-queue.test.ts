// The queue that wakes coordinators, on a real nats-server.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { until } from '../../support/until.ts';

const ACK_WAIT_MS = 1_000;
const STREAM = 'ESPALIER_WAKE';

let server: NatsServer;
let bus: Bus;
let raw: NatsConnection;
let manager: JetStreamManager;
let releases = new Releases();
const never = new AbortController().signal;

before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
  raw = await connect({ servers: server.url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  manager = await raw.jetstreamManager();
  const { config } = await manager.consumers.info(STREAM, 'coordinators');
  assert.deepEqual([config.ack_wait, config.max_deliver, config.ack_policy], [30_000_000_000, -1, 'explicit']);
  // Half a minute is too long for a test.
  await manager.consumers.update(STREAM, 'coordinators', { ack_wait: ACK_WAIT_MS * 1e6 });
});
beforeEach(async () => {
  await manager.streams.purge(STREAM);
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await raw?.close();
  await bus?.close();
  await server?.remove();
});

async function another(): Promise<Bus> {
  const made = await connectBus(server.settings());
  releases.add(() => made.close());
  return made;
}

test('a job has one token, however often it is added, and can have another after that', async () => {
  await Promise.all(Array.from({ length: 5 }, () => bus.wake.add('job-1')));
  await bus.wake.add('job-2');
  assert.equal(await bus.wake.count(), 2);
  const first = (await bus.wake.next(5_000, never))!;
  const second = (await bus.wake.next(5_000, never))!;
  assert.deepEqual([first.id, second.id], ['job-1', 'job-2']);
  await bus.wake.add('job-1');
  assert.equal(await bus.wake.count(), 2, 'a token that is held is there');
  assert.equal(await bus.wake.next(100, never), null);
  await first.done();
  await second.done();
  assert.equal(await bus.wake.count(), 0);
  await bus.wake.add('job-1');
  assert.equal((await bus.wake.next(5_000, never))?.id, 'job-1', 'the same name counts again, at once');
});

test('each token goes to one of those that wait', async () => {
  const others = await Promise.all([another(), another(), another()]);
  const waiting = others.map((other) => other.wake.next(ACK_WAIT_MS / 2, never));
  await bus.wake.add('job-a');
  await bus.wake.add('job-b');
  const got = await Promise.all(waiting);
  assert.deepEqual(got.map((token) => token?.id ?? '').sort(), ['', 'job-a', 'job-b']);
});

test('the token of a holder that died comes to another after the ack period', async () => {
  const holder = await connectBus(server.settings());
  await bus.wake.add('job-1');
  assert.equal((await holder.wake.next(5_000, never))?.id, 'job-1');
  await holder.close();
  const startMs = performance.now();
  const again = await bus.wake.next(10_000, never);
  assert.equal(again?.id, 'job-1');
  assert.ok(performance.now() - startMs > ACK_WAIT_MS / 3);
  await again.done();
});

test('a token that is renewed stays, one that is given back comes after the pause', async () => {
  await bus.wake.add('job-1');
  const token = (await bus.wake.next(5_000, never))!;
  const renewals = setInterval(() => token.renew(), ACK_WAIT_MS / 5);
  try {
    assert.equal(await bus.wake.next(3 * ACK_WAIT_MS, never), null);
  } finally {
    clearInterval(renewals);
  }
  const startMs = performance.now();
  await token.giveBack(400);
  const again = await bus.wake.next(5_000, never);
  assert.equal(again?.id, 'job-1');
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs > 350 && tookMs < ACK_WAIT_MS, `${tookMs} ms`);
});

test('who stops waiting takes no token away from others', async () => {
  const leaving = await another();
  const stop = new AbortController();
  const waiting = leaving.wake.next(30_000, stop.signal);
  stop.abort();
  assert.equal(await waiting, null);
  await bus.wake.add('job-1');
  const startMs = performance.now();
  assert.equal((await bus.wake.next(5_000, never))?.id, 'job-1');
  assert.ok(performance.now() - startMs < ACK_WAIT_MS / 2);
  assert.equal(await bus.wake.next(1_000, AbortSignal.abort()), null);
});

test('tokens outlive the server', async () => {
  await bus.wake.add('job-1');
  const held = (await bus.wake.next(5_000, never))!;
  await bus.wake.add('job-2');
  const waitingElsewhere = (await another()).wake;
  await server.restart();
  await until('the connection', () => bus.isConnected);
  const ids: (string | undefined)[] = [];
  for (let i = 0; i < 2; i += 1) {
    const token = await waitingElsewhere.next(10_000, never);
    ids.push(token?.id);
    await token?.done();
  }
  assert.deepEqual(ids.sort(), ['job-1', 'job-2'], 'a held one comes again when its time is over');
  await assert.doesNotReject(held.done(), 'ending it late is harmless');
  assert.equal(await bus.wake.count(), 0);
});

test('an id that is none of ours is refused', async () => {
  for (const id of ['', 'a.b', '*', '>', 'a b']) await assert.rejects(bus.wake.add(id), { code: 'internal' }, id);
});
