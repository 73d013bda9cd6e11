// The claim loop: every job once, whatever tokens are lost; ends of every kind; drains and take-overs.
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { connect } from 'nats';
import type { HeldJob } from '../../../coordinator/jobs/held-job.ts';
import type { JobResult, JobState } from '../../../coordinator/jobs/job-record.ts';
import type { KeyValueBucket } from '../../../shared/bus/bus.ts';
import { WAKE_STREAM } from '../../../shared/bus/streams.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { submission } from '../../support/job-records.ts';
import { JobWorld, LEASE_MS, type Seat, withJobs } from '../../support/job-world.ts';
import { gate, until } from '../../support/until.ts';

const RESULTS: readonly JobResult[] = [{ budget: '0.5', files: [], report: {} }];
const DEADLINE_MS = 20_000;

let world: JobWorld;
let a: Seat;
let b: Seat;

beforeEach(async () => {
  world = await JobWorld.open();
  a = await world.seat();
  b = await world.seat();
});
afterEach(() => world.close());

const names = (count: number) => Array.from({ length: count }, (_, i) => `job ${i}`);

async function submitted(count: number, key = 'key'): Promise<readonly string[]> {
  return (await a.store.submit(submission(key, names(count)))).campaign.jobs;
}

function states(ids: readonly string[]): (JobState | undefined)[] {
  return ids.map((id) => a.store.summary(id)?.state);
}

function allAre(ids: readonly string[], state: JobState): Promise<void> {
  return until(
    `all jobs are ${state}: ${states(ids)}`,
    () => states(ids).every((found) => found === state),
    DEADLINE_MS,
  );
}

async function noTokens(seat: Seat): Promise<void> {
  let count = -1;
  const ask = async () => {
    count = await seat.bus.wake.count();
  };
  const end = Date.now() + DEADLINE_MS;
  while (count !== 0 && Date.now() < end) await ask();
  assert.equal(count, 0, 'tokens are left');
}

/** Ends only with the signal of the job. */
function untilStopped(job: HeldJob): Promise<never> {
  return new Promise((_, reject) => {
    job.signal.addEventListener('abort', () => reject(job.signal.reason), { once: true });
  });
}

test('two coordinators run every job once, never more at a time than they may, and no token is left', async () => {
  const ran = new Map<string, number>();
  const running = { a: 0, b: 0 };
  let most = 0;
  for (const [name, seat] of [
    ['a', a],
    ['b', b],
  ] as const)
    await seat.coordinator(name, {
      maxJobs: () => 3,
      runJob: async (job) => {
        ran.set(job.record.id, (ran.get(job.record.id) ?? 0) + 1);
        most = Math.max(most, ++running[name]);
        await job.commitStage('plan', { kind: 'json', value: job.record.name });
        running[name] -= 1;
        return RESULTS;
      },
    });
  const ids = await submitted(60);
  await allAre(ids, 'done');
  assert.deepEqual(
    [...ran.values()],
    ids.map(() => 1),
  );
  assert.ok(most <= 3, `${most} at once`);
  for (const id of ids) {
    const record = await b.store.read(id);
    assert.deepEqual(
      [record.attempt, record.results, record.stages],
      [1, RESULTS, { plan: { kind: 'json', value: record.name } }],
    );
  }
  await noTokens(a);
});

test('a stream of tokens that is emptied only delays', async () => {
  const ids = await submitted(8);
  const connection = await connect({ servers: world.server.url });
  await (await connection.jetstreamManager()).streams.purge(WAKE_STREAM);
  await connection.close();
  assert.equal(await a.bus.wake.count(), 0);
  await a.coordinator('a', { runJob: async () => RESULTS });
  await allAre(ids, 'done');
  await noTokens(a);
});

test('an error that would come again fails the job at once, one that may pass queues it again', async () => {
  const tries = new Map<string, number>();
  await a.coordinator('a', {
    runJob: async (job) => {
      const { name, id } = job.record;
      tries.set(name, (tries.get(name) ?? 0) + 1);
      if (name === 'job 0') throw new EspalierError('not_finite', `${id}: a loss is not finite`);
      if (name === 'job 1' && tries.get(name) === 1) throw new EspalierError('no_workers', 'all workers are gone');
      if (name === 'job 2') throw new TypeError('a bug');
      return RESULTS;
    },
  });
  const [hopeless, passing, bug] = await submitted(3);
  await until(
    'all have ended',
    () => !states([hopeless, passing, bug]).some((state) => state === 'queued' || state === 'running'),
    DEADLINE_MS,
  );
  const failed = await a.store.read(hopeless);
  assert.deepEqual([failed.state, failed.failure?.code, failed.attempt], ['failed', 'not_finite', 1]);
  const passed = await a.store.read(passing);
  assert.deepEqual([passed.state, passed.attempt, passed.requeues], ['done', 2, 1]);
  assert.equal((await a.store.read(bug)).failure?.code, 'internal');
  await noTokens(a);
});

test('a drain hands running jobs back at once, and another coordinator goes on with their stages', async () => {
  const first = await a.coordinator('a', {
    runJob: async (job) => {
      await job.commitStage('plan', { kind: 'json', value: 7 });
      return untilStopped(job);
    },
  });
  const ids = await submitted(3);
  await until(
    'all have their plan',
    () => ids.every((id) => a.store.summary(id)?.stages.includes('plan')),
    DEADLINE_MS,
  );
  await first.drain();
  assert.deepEqual(states(ids), ['queued', 'queued', 'queued']);
  assert.equal(await a.bus.leases.get(`coordinator.${first.owner}`), null);
  const stages: unknown[] = [];
  await b.coordinator('b', {
    runJob: async (job) => {
      stages.push(job.record.stages);
      return RESULTS;
    },
  });
  await allAre(ids, 'done');
  assert.deepEqual(
    stages,
    ids.map(() => ({ plan: { kind: 'json', value: 7 } })),
  );
  const record = await b.store.read(ids[0]);
  assert.deepEqual([record.attempt, record.deaths, record.requeues], [2, 0, 0]);
});

test('jobs of a coordinator that is gone are taken over after its lease, each as one death', async () => {
  const lost = await world.seat();
  let started = 0;
  const ids = await submitted(3);
  await lost.coordinator('lost', {
    runJob: (job) => {
      started += 1;
      return untilStopped(job);
    },
  });
  await until('it runs them all', () => started === 3, DEADLINE_MS);
  await b.coordinator('b', { runJob: async () => RESULTS });
  const from = performance.now();
  await lost.cut();
  await allAre(ids, 'done');
  const tookMs = performance.now() - from;
  assert.ok(tookMs > 0.6 * LEASE_MS && tookMs < 10_000, `${tookMs} ms`);
  for (const id of ids) assert.deepEqual((await b.store.read(id)).deaths, 1);
});

test('a coordinator whose watch of the leases is behind takes no job from one that is alive', async () => {
  let isBehind = false;
  const stale = await world.seat((bus) => {
    const leases: KeyValueBucket = {
      get: (key) => bus.leases.get(key),
      create: (key, value) => bus.leases.create(key, value),
      update: (key, value, revision) => bus.leases.update(key, value, revision),
      delete: (key, revision) => bus.leases.delete(key, revision),
      watch: (prefix, onEntry, signal) => bus.leases.watch(prefix, (entry) => isBehind || onEntry(entry), signal),
      usage: () => bus.leases.usage(),
    };
    return new Proxy(bus, {
      get: (target, name) => {
        const value = name === 'leases' ? leases : Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  });
  const { opened, open } = gate();
  await a.coordinator('a', { runJob: () => opened.then(() => RESULTS) });
  const ids = await submitted(1);
  await allAre(ids, 'running');
  const owner = a.store.summary(ids[0])!.owner!;
  await until('the stale one knows the lease', () => stale.leases.revision(`coordinator.${owner}`) !== null);
  isBehind = true;
  await stale.coordinator('stale', { runJob: async () => RESULTS });
  await until('for it the lease has lapsed', () => stale.leases.hasLapsed(`coordinator.${owner}`), 10 * LEASE_MS);
  const lookedAt = stale.leases.revision(`coordinator.${owner}`);
  await until('it has looked again', () => stale.leases.revision(`coordinator.${owner}`) !== lookedAt, 10 * LEASE_MS);
  open();
  await allAre(ids, 'done');
  const record = await b.store.read(ids[0]);
  assert.deepEqual([record.attempt, record.deaths], [1, 0]);
});

test('a job that cannot be claimed keeps no other from it', async () => {
  const [poison, ...others] = await submitted(4);
  const seat = await world.seat((bus) =>
    withJobs(bus, (jobs) => ({
      update: (key, value, revision) =>
        key === `job.${poison}`
          ? Promise.reject(new EspalierError('limit_exceeded', `${key}: too large`))
          : jobs.update(key, value, revision),
    })),
  );
  await seat.coordinator('a', { maxJobs: () => 1, runJob: async () => RESULTS });
  await allAre(others, 'done');
  assert.equal(a.store.summary(poison)?.state, 'queued');
});

test('a job that stands aside makes room for one more, up to what may be held', async () => {
  const seat = await world.seat();
  const held: string[] = [];
  const mayEnd = gate();
  const coordinator = await seat.coordinator('a', {
    maxJobs: () => 1,
    maxHeld: () => 2,
    runJob: async ({ record }, aside) => {
      held.push(record.id);
      assert.ok(coordinator.size < 2, 'without this one');
      await aside(() => mayEnd.opened);
      return RESULTS;
    },
  });
  const ids = await submitted(4);
  await until('two are held', () => held.length === 2, DEADLINE_MS);
  mayEnd.open();
  await allAre(ids, 'done');
  assert.equal(held.length, 4);
});

test('a drain while NATS is away ends as soon as the jobs are abandoned', async () => {
  const seat = await world.seat();
  let isRunning = false;
  const coordinator = await seat.coordinator('a', {
    leaseMs: 60_000,
    runJob: (job) => {
      isRunning = true;
      return untilStopped(job);
    },
  });
  const ids = await submitted(1);
  await until('it runs', () => isRunning, DEADLINE_MS);
  await world.server.stop('SIGKILL');
  const draining = coordinator.drain();
  coordinator.abandon();
  const from = performance.now();
  await seat.cut();
  await draining;
  const tookMs = performance.now() - from;
  assert.ok(tookMs < 2_000, `${tookMs} ms`);
  await world.server.start();
  await until('the connection', () => b.bus.isConnected);
  assert.equal((await b.store.read(ids[0])).state, 'running', 'others take it when the lease has lapsed');
});

test('after NATS was put back from an older copy, its records count', async () => {
  const ids = await submitted(1);
  const [store, copy] = ['store', 'copy'].map((name) => path.join(world.server.folder, name));
  await world.server.stop('SIGTERM');
  await cp(store, copy, { recursive: true });
  await world.server.start();
  await until('the connections', () => a.bus.isConnected && b.bus.isConnected);
  for (const id of ids) await b.store.cancel(id);
  const later = await submitted(2, 'later');
  await allAre(later, 'queued');
  await allAre(ids, 'cancelled');
  await world.server.stop('SIGTERM');
  await rm(store, { recursive: true });
  await cp(copy, store, { recursive: true });
  await world.server.start();
  await allAre(ids, 'queued');
  await until('what the copy does not have is gone', () => later.every((id) => a.store.summary(id) === null));
  await b.coordinator('b', { runJob: async () => RESULTS });
  await allAre(ids, 'done');
});

test('a cancel ends running jobs as cancelled', async () => {
  await b.coordinator('b', { runJob: untilStopped });
  const ids = await submitted(2);
  await allAre(ids, 'running');
  for (const id of ids) await a.store.cancel(id);
  await allAre(ids, 'cancelled');
  await noTokens(a);
});

test('NATS that is away for longer than a lease costs time, and no death', async () => {
  let runs = 0;
  const { opened, open } = gate();
  await a.coordinator('a', {
    runJob: async (job) => {
      runs += 1;
      return runs === 1 ? untilStopped(job) : opened.then(() => RESULTS);
    },
  });
  const [id] = await submitted(1);
  await until('it runs', () => runs === 1, DEADLINE_MS);
  await world.server.stop('SIGKILL');
  const stoppedAt = performance.now();
  await until('the lease is over', () => performance.now() - stoppedAt > 2 * LEASE_MS);
  await world.server.start();
  await until('it runs again', () => runs === 2, DEADLINE_MS);
  open();
  await allAre([id], 'done');
  const record = await b.store.read(id);
  assert.deepEqual([record.deaths, record.requeues], [0, 0]);
});

test('campaigns share what is free, and a higher priority goes first', async () => {
  const order: string[] = [];
  await a.store.submit(submission('large', names(6)));
  await a.store.submit(submission('small', names(2)));
  await a.store.submit(submission('urgent', [{ name: 'urgent', priority: 10 }]));
  const { opened, open } = gate();
  await a.coordinator('a', {
    maxJobs: () => 5,
    runJob: async (job) => {
      order.push(job.record.priority > 0 ? 'urgent' : a.store.campaignName(job.record.campaign).slice(9));
      await opened;
      return RESULTS;
    },
  });
  await until('five run', () => order.length === 5, DEADLINE_MS);
  assert.deepEqual(order, ['urgent', 'large', 'small', 'large', 'small']);
  open();
  await until('all have run', () => order.length === 9, DEADLINE_MS);
});

test('events tell of every state in order, progress thinned out, the end last', async () => {
  await a.coordinator('a', {
    runJob: async (job) => {
      job.emit({ kind: 'stage-started', stage: 'tune', steps: 500 });
      for (let done = 1; done <= 500; done += 1) job.emit({ kind: 'stage-progress', stage: 'tune', done, steps: 500 });
      job.emit({ kind: 'stage-finished', stage: 'tune', seconds: 1, reused: false });
      return RESULTS;
    },
  });
  const [id] = await submitted(1);
  await allAre([id], 'done');
  const read = async () =>
    (await a.bus.events.read(id, 0, 1_000)).map(({ event }) => JSON.parse(new TextDecoder().decode(event)).event);
  let events = await read();
  const end = Date.now() + DEADLINE_MS;
  while (events.at(-1)?.state !== 'done' && Date.now() < end) events = await read();
  assert.deepEqual(
    events.map(({ kind, state, done }) => state ?? done ?? kind),
    ['running', 'stage-started', 1, 500, 'stage-finished', 'done'],
  );
});
