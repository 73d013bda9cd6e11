// Buckets on a real nats-server: compare-and-set, and watches that go on whatever happens to the server.
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Bus, KeyEntry } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { until } from '../../support/until.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null | undefined) => (value ? new TextDecoder().decode(value) : value);

let server: NatsServer;
let bus: Bus;
let releases = new Releases();
before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await bus?.close();
  await server?.remove();
});

async function another(timeoutMs = 5_000): Promise<Bus> {
  const made = await connectBus(server.settings(), { timeoutMs });
  releases.add(() => made.close());
  return made;
}

/** Entries that a watch told, in order. */
async function watch(on: Bus, prefix: string): Promise<KeyEntry[]> {
  const told: KeyEntry[] = [];
  const stop = new AbortController();
  releases.add(async () => stop.abort());
  await on.jobs.watch(prefix, (entry) => told.push(entry), stop.signal);
  return told;
}

test('a key is created once, replaced and deleted by its revision only', async () => {
  const first = await bus.jobs.create('job.life', bytes('1'));
  assert.ok(first !== null && first > 0);
  assert.equal(await bus.jobs.create('job.life', bytes('other')), null);
  assert.equal(await bus.jobs.update('job.life', bytes('other'), first + 1), null);
  const second = await bus.jobs.update('job.life', bytes('2'), first);
  assert.ok(second !== null && second > first);
  const { storedAt, ...stored } = (await bus.jobs.get('job.life'))!;
  assert.deepEqual(stored, { key: 'job.life', value: Buffer.from('2'), revision: second });
  assert.ok(Math.abs(Date.now() - storedAt.getTime()) < 60_000, storedAt.toISOString());
  assert.equal(await bus.jobs.delete('job.life', first), false);
  assert.equal(await bus.jobs.delete('job.life', second), true);
  assert.equal(await bus.jobs.get('job.life'), null);
  assert.equal(await bus.jobs.get('job.never'), null);
  const again = await bus.jobs.create('job.life', bytes('3'));
  assert.ok(again !== null && again > second, 'a deleted key can be created again');
});

test('of twenty writers of one revision exactly one wins, and a read sees it at once', async () => {
  const others = await Promise.all(Array.from({ length: 5 }, () => another()));
  let revision = (await bus.jobs.create('job.contended', bytes('start')))!;
  for (let round = 0; round < 10; round += 1) {
    const tries = Array.from({ length: 20 }, (_, writer) =>
      others[writer % others.length]!.jobs.update('job.contended', bytes(`${round}-${writer}`), revision),
    );
    const results = await Promise.all(tries);
    const winners = results.flatMap((result, writer) => (result === null ? [] : [{ result, writer }]));
    assert.equal(winners.length, 1);
    const [winner] = winners;
    const read = await others[round % others.length]!.jobs.get('job.contended');
    assert.deepEqual([text(read!.value), read!.revision], [`${round}-${winner!.writer}`, winner!.result]);
    revision = winner!.result;
  }
  const creators = await Promise.all(others.map((other) => other.jobs.create('job.first', bytes('x'))));
  assert.equal(creators.filter((result) => result !== null).length, 1);
});

test('keys under a prefix only are told, the newest of each first, then what changes, in order', async () => {
  await bus.leases.create('coordinator.other', bytes('not told'));
  const one = (await bus.jobs.create('watched.one', bytes('a')))!;
  const gone = (await bus.jobs.create('watched.gone', bytes('x')))!;
  await bus.jobs.delete('watched.gone', gone);
  await bus.jobs.update('watched.one', bytes('b'), one);
  const told = await watch(bus, 'watched.');
  assert.deepEqual(
    told.map(({ key, value }) => [key, text(value)]),
    [['watched.one', 'b']],
    'all that were there have been told when it resolves; what was deleted before is no news',
  );
  const two = (await bus.jobs.create('watched.two', bytes('c')))!;
  // A version that is replaced before it was sent is not told.
  await until('the new key to be told', () => told.length === 2);
  await bus.jobs.delete('watched.two', two);
  await bus.jobs.create('unwatched', bytes('d'));
  await until('the deletion to be told', () => told.length === 3);
  assert.deepEqual(
    told.map(({ key, value }) => [key, text(value)]),
    [
      ['watched.one', 'b'],
      ['watched.two', 'c'],
      ['watched.two', null],
    ],
  );
  assert.equal((await watch(bus, 'nothing.')).length, 0, 'a prefix without keys is caught up at once');
});

test('of keys that change quickly the newest versions are told at last, in order, others perhaps', async () => {
  const told = await watch(bus, 'quick.');
  const newest = new Map<string, string | null>();
  const change = async (key: string, isDeleted: boolean) => {
    let revision = (await bus.jobs.create(key, bytes('0')))!;
    for (let version = 1; version <= 20; version += 1)
      revision = (await bus.jobs.update(key, bytes(`${version}`), revision))!;
    if (isDeleted) assert.ok(await bus.jobs.delete(key, revision));
    newest.set(key, isDeleted ? null : '20');
  };
  await Promise.all(Array.from({ length: 20 }, (_, i) => change(`quick.${i}`, i % 2 === 0)));
  const last = () => new Map(told.map(({ key, value }) => [key, text(value)]));
  const isTold = () => [...newest].every(([key, value]) => last().get(key) === value);
  await until('the newest version of each key', isTold);
  assert.equal(last().size, 20);
  const revisions = told.map(({ revision }) => revision);
  assert.deepEqual(
    revisions,
    [...new Set(revisions)].sort((a, b) => a - b),
    'each version once, in order',
  );
});

test('the deletion of a key that was told is told, also while others are still to be told', async () => {
  // More than is on its way at once: the server waits for the watcher.
  const value = new Uint8Array(500_000);
  const keys = Array.from({ length: 30 }, (_, i) => `large.${i}`);
  const revisions = await Promise.all(keys.map((key) => bus.jobs.create(key, value)));
  const other = await another();
  const told: [string, boolean][] = [];
  let deletion: Promise<boolean> | null = null;
  const stop = new AbortController();
  releases.add(() => stop.abort());
  const note = (entry: KeyEntry) => {
    told.push([entry.key, entry.value !== null]);
    deletion ??= bus.jobs.delete(entry.key, entry.revision);
  };
  await other.jobs.watch('large.', note, stop.signal);
  assert.equal(await deletion, true);
  const [[first]] = told;
  await until('the deletion', () => told.some(([key, isThere]) => key === first && !isThere));
  assert.equal(told.length, revisions.length + 1);
});

test('a watch tells once of every key across a server that is killed and comes back on its store', async () => {
  const other = await another();
  const told = await watch(other, 'restart.');
  await bus.jobs.create('restart.before', bytes('1'));
  await until('the first entry', () => told.length === 1);
  let came = 0;
  releases.add(async () => stopListening());
  const stopListening = other.onReconnect(() => {
    came += 1;
  });
  await server.stop('SIGKILL');
  await until('the loss to be seen', () => !other.isConnected && !bus.isConnected);
  const waiting = bus.jobs.create('restart.meanwhile', bytes('2'));
  await server.start();
  assert.ok((await waiting) !== null, 'a call that was made meanwhile goes through');
  await bus.jobs.create('restart.after', bytes('3'));
  await until('entries of after the restart', () => told.length === 3);
  assert.deepEqual(
    told.map(({ key }) => key),
    ['restart.before', 'restart.meanwhile', 'restart.after'],
  );
  assert.equal(came, 1);
  const revisions = told.map(({ revision }) => revision);
  assert.deepEqual(
    revisions,
    [...revisions].sort((a, b) => a - b),
  );
});

test('a watch goes on when the server forgets its consumer', async () => {
  const raw = await import('nats');
  const connection = await raw.connect({ servers: server.url });
  releases.add(() => connection.close());
  const told = await watch(bus, 'forgotten.');
  const jsm = await connection.jetstreamManager();
  const consumers = await jsm.consumers.list('KV_espalier_jobs').next();
  const ours = consumers.filter(({ config }) => config.filter_subject === '$KV.espalier_jobs.forgotten.>');
  assert.equal(ours.length, 1);
  await jsm.consumers.delete('KV_espalier_jobs', ours[0]!.name);
  await bus.jobs.create('forgotten.key', bytes('1'));
  await until('the entry', () => told.length === 1, 20_000);
});

test('a watch that ended leaves no consumer, and one ends with its connection', async () => {
  const raw = await import('nats');
  const connection = await raw.connect({ servers: server.url });
  releases.add(() => connection.close());
  const jsm = await connection.jetstreamManager();
  const left = async () => {
    const consumers = await jsm.consumers.list('KV_espalier_jobs').next();
    return consumers.filter(({ config }) => config.filter_subject === '$KV.espalier_jobs.ended.>').length;
  };
  const stop = new AbortController();
  releases.add(async () => stop.abort());
  await bus.jobs.watch('ended.', () => {}, stop.signal);
  let count = await left();
  assert.equal(count, 1);
  stop.abort();
  for (const end = Date.now() + 5_000; count > 0 && Date.now() < end; ) count = await left();
  assert.equal(count, 0);

  const closing = await connectBus(server.settings());
  const ended = closing.events.follow('job-1', 0, () => {}, new AbortController().signal);
  await closing.close();
  await ended;
});

test('without a server calls fail after their time, and a frozen one is no different', async () => {
  const impatient = await another(300);
  await impatient.jobs.create('frozen.key', bytes('1'));
  for (const trouble of ['frozen', 'stopped']) {
    if (trouble === 'frozen') server.freeze();
    else await server.stop();
    try {
      const startMs = performance.now();
      await assert.rejects(impatient.jobs.get('frozen.key'), { code: 'bus_unavailable' });
      await assert.rejects(impatient.jobs.update('frozen.key', bytes('2'), 1), { code: 'bus_unavailable' });
      const tookMs = performance.now() - startMs;
      assert.ok(tookMs > 500 && tookMs < 5_000, `${trouble}: ${tookMs} ms`);
    } finally {
      if (trouble === 'frozen') server.thaw();
      else await server.start();
    }
    await until('the connection', () => impatient.isConnected);
  }
  assert.ok((await bus.jobs.get('frozen.key')) !== null);
});

test('a bucket that was put back from an older copy is told anew, with its lower revisions', async () => {
  const own = await NatsServer.start();
  releases.add(() => own.remove());
  const restored = await connectBus(own.settings(), { create: true });
  releases.add(() => restored.close());
  await restored.jobs.create('job.old', bytes('before'));
  await own.stop('SIGTERM');
  const [store, copy] = ['store', 'copy'].map((name) => path.join(own.folder, name));
  await cp(store, copy, { recursive: true });
  await own.start();
  await until('the connection', () => restored.isConnected);
  const told: string[] = [];
  const stop = new AbortController();
  releases.add(() => stop.abort());
  const note = ({ key, value, revision }: KeyEntry) => told.push(`${key} ${text(value)} ${revision}`);
  await restored.jobs.watch('job.', note, stop.signal, {
    begin: () => told.push('begin'),
    end: () => told.push('end'),
  });
  const entry = (await restored.jobs.get('job.old'))!;
  await restored.jobs.update('job.old', bytes('after'), entry.revision);
  await restored.jobs.create('job.new', bytes('new'));
  await until('both', () => told.length === 3);
  await own.stop('SIGTERM');
  await rm(store, { recursive: true });
  await cp(copy, store, { recursive: true });
  await own.start();
  await until('all of it again', () => told.at(-1) === 'end', 30_000);
  assert.deepEqual(told, ['job.old before 1', 'job.old after 2', 'job.new new 3', 'begin', 'job.old before 1', 'end']);
});

test('an answer that came while the loop stood still is not late', async () => {
  const impatient = await another(300);
  await bus.jobs.create('busy.key', bytes('1'));
  const asked = impatient.jobs.get('busy.key');
  // The request leaves with this turn of the loop.
  await new Promise((resolve) => setImmediate(resolve));
  const endMs = performance.now() + 1_000;
  while (performance.now() < endMs);
  assert.equal(text((await asked)?.value), '1');
});

test('a full bucket and a value beyond what NATS takes are told apart', async () => {
  await connectBus(server.settings(), { create: true, limits: { leasesBytes: 20_000 } }).then((small) => small.close());
  assert.equal((await bus.leases.usage()).limitBytes, 20_000);
  await assert.rejects(
    async () => {
      for (let i = 0; i < 100; i += 1) await bus.leases.create(`fill.${i}`, new Uint8Array(1_000));
    },
    { code: 'store_full' },
  );
  const { bytes: taken } = await bus.leases.usage();
  assert.ok(taken > 15_000 && taken <= 20_000, `${taken}`);
  await assert.rejects(bus.jobs.create('job.huge', new Uint8Array(2 << 20)), { code: 'limit_exceeded' });
});

test('a key that is none is refused before it is a subject', async () => {
  for (const key of ['', 'a b', 'a.*', 'a.>', '.a', 'a..b', 'a\r\nPUB x 0'])
    await assert.rejects(async () => bus.jobs.get(key), { code: 'internal' }, key);
  await assert.rejects(async () => bus.jobs.watch('half-a-word', () => {}, AbortSignal.abort()), { code: 'internal' });
});
