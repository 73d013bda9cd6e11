// Who may change a job: claims against each other, leases that lapse, owners that come back late, answers that get lost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { OwnedJob } from '../../../coordinator/jobs/owned-job.ts';
import { MAX_DEATHS } from '../../../coordinator/jobs/transitions.ts';
import { submission } from '../../support/job-records.ts';
import { busAway, JobWorld, LEASE_MS, type Seat, withJobs } from '../../support/job-world.ts';
import { until } from '../../support/until.ts';

const stage = (value: unknown) => ({ kind: 'json', value }) as const;
const never = () => false;

let world: JobWorld;
let a: Seat;
let b: Seat;

before(async () => {
  world = await JobWorld.open();
  a = await world.seat();
  b = await world.seat();
});
after(() => world.close());

async function submitted(key: string, count = 1): Promise<string[]> {
  const { jobs } = await a.store.submit(
    submission(
      key,
      Array.from({ length: count }, (_, i) => `job ${i}`),
    ),
  );
  const ids = jobs.map(({ id }) => id);
  await until('the other index has the jobs', () => ids.every((id) => b.store.summary(id) !== null));
  return ids;
}

function held(claim: OwnedJob | 'ended' | null): OwnedJob {
  assert.ok(claim !== null && claim !== 'ended', 'claimed');
  return claim;
}

test('of many coordinators that claim one job at the same time, exactly one gets it', async () => {
  const leases = await Promise.all([0, 1, 2, 3].map((i) => (i % 2 === 0 ? a : b).lease(`race${i}`)));
  for (const id of await submitted('race', 10)) {
    const claims = await Promise.all(leases.map((lease, i) => (i % 2 === 0 ? a : b).store.claim(id, lease, never)));
    const winners = claims.filter((claim) => claim !== null);
    assert.equal(winners.length, 1);
    const { record } = held(winners[0]);
    assert.deepEqual([record.state, record.attempt], ['running', 1]);
    assert.deepEqual(await b.store.read(id), record);
  }
});

test('a job whose owner is gone goes to another with what is stored, and the owner writes no more', async () => {
  const [id] = await submitted('frozen');
  const lease = await a.lease('sleeper');
  const owned = held(await a.store.claim(id, lease, never));
  await owned.commitStage('plan', stage(1));
  const other = await b.lease('taker');
  const hasLapsed = (owner: string) => b.leases.hasLapsed(`coordinator.${owner}`);
  assert.equal(await b.store.claim(id, other, hasLapsed), null, 'a control: its lease holds');
  await lease.release();
  await until('the lease has lapsed', () => hasLapsed('sleeper'), 5 * LEASE_MS);
  const taken = held(await b.store.claim(id, other, hasLapsed));
  assert.deepEqual([taken.record.attempt, taken.record.deaths], [2, 0], 'it had stored a stage');
  assert.deepEqual(taken.record.stages, { plan: stage(1) });
  await assert.rejects(owned.commitStage('fisher', stage(2)), { code: 'lease_lost' });
  await assert.rejects(owned.finish([]), { code: 'lease_lost' });
  assert.equal(owned.signal.aborted, true);
  await taken.commitStage('fisher', stage(3));
  assert.deepEqual((await a.store.read(id)).stages, { plan: stage(1), fisher: stage(3) });
});

test('a write of an owner that has not noticed its loss is refused by its revision', async () => {
  const [id] = await submitted('fence');
  // This seat sees no change of others, as a process that was frozen has not yet.
  const blind = await world.seat((bus) => withJobs(bus, () => ({ watch: async () => {} })));
  blind.store.index.applyEntry((await a.bus.jobs.get(`job.${id}`))!);
  const owned = held(await blind.store.claim(id, await blind.lease('blind'), never));
  const taken = held(await b.store.claim(id, await b.lease('seer'), () => true));
  assert.equal(owned.signal.aborted, false);
  await assert.rejects(owned.commitStage('plan', stage('old')), { code: 'lease_lost' });
  assert.equal(owned.stopped, 'lost');
  assert.deepEqual((await a.store.read(id)).stages, {});
  assert.equal(taken.record.deaths, 1);
});

test('a coordinator that cannot renew for a lease period gives its jobs up by itself', async () => {
  const [id] = await submitted('away');
  const seat = await world.seat();
  await until('it has the job', () => seat.store.summary(id) !== null);
  const owned = held(await seat.store.claim(id, await seat.lease('away'), never));
  const from = performance.now();
  await seat.cut();
  await until('it gave up', () => owned.signal.aborted, 5 * LEASE_MS);
  const tookMs = performance.now() - from;
  assert.ok(tookMs < 2 * LEASE_MS, `${tookMs} ms`);
  assert.equal((owned.signal.reason as { code: string }).code, 'lease_lost');
  await assert.rejects(owned.commitStage('plan', stage(1)), { code: 'lease_lost' });
  const hasLapsed = (owner: string) => b.leases.hasLapsed(`coordinator.${owner}`);
  await until('others see it lapse, though its key is there', () => hasLapsed('away'), 5 * LEASE_MS);
  assert.notEqual(await b.bus.leases.get('coordinator.away'), null);
  assert.equal(held(await b.store.claim(id, await b.lease('away-taker'), hasLapsed)).record.deaths, 1);
});

test('changes whose answers get lost are made once and known to be made', async () => {
  const [id] = await submitted('answers');
  let lost = 0;
  const seat = await world.seat((bus) =>
    withJobs(bus, (jobs) => ({
      update: async (...change) => {
        const revision = await jobs.update(...change);
        if (revision === null || lost++ % 2 === 1) return revision;
        throw busAway();
      },
    })),
  );
  await until('it has the job', () => seat.store.summary(id) !== null);
  const lease = await seat.lease('answers');
  await assert.rejects(seat.store.claim(id, lease, never), { code: 'bus_unavailable' });
  // Claimed for all that: nobody runs it, and the sweep hands it back.
  assert.equal((await a.store.read(id)).lease?.owner, 'answers');
  await seat.store.handBack(id, 'answers');
  assert.equal((await a.store.read(id)).state, 'queued');
  lost = 1;
  const owned = held(await seat.store.claim(id, lease, never));
  await owned.commitStage('plan', stage(1));
  await owned.commitStage('fisher', stage(2));
  lost = 0;
  await owned.finish([{ budget: '0.5', files: [], report: {} }]);
  const record = await a.store.read(id);
  assert.deepEqual([record.state, Object.keys(record.stages), record.results.length], ['done', ['plan', 'fisher'], 1]);
});

test('a cancel reaches the one who runs the job within a second, and ends a queued one at once', async () => {
  const [id, queued] = await submitted('cancel', 2);
  const owned = held(await b.store.claim(id, await b.lease('cancel'), never));
  const from = performance.now();
  await a.store.cancel(id.slice(0, 12));
  await until('the signal aborts', () => owned.signal.aborted, 5_000);
  assert.ok(performance.now() - from < 1_000, `${performance.now() - from} ms`);
  assert.deepEqual([owned.stopped, (owned.signal.reason as { code: string }).code], ['cancelled', 'cancelled']);
  await assert.rejects(owned.commitStage('plan', stage(1)), { code: 'cancelled' });
  await owned.endCancelled();
  assert.equal((await a.store.read(id)).state, 'cancelled');
  assert.equal((await a.store.cancel(queued)).state, 'cancelled');
  assert.equal((await a.store.cancel(queued)).state, 'cancelled', 'twice is once');
});

test('a cancel that comes between keeps what the owner stores, and is not lost', async () => {
  const [id] = await submitted('between');
  const blind = await world.seat((bus) => withJobs(bus, () => ({ watch: async () => {} })));
  blind.store.index.applyEntry((await a.bus.jobs.get(`job.${id}`))!);
  const owned = held(await blind.store.claim(id, await blind.lease('between'), never));
  await a.store.cancel(id);
  await assert.rejects(owned.commitStage('plan', stage(1)), { code: 'cancelled' });
  await owned.endCancelled();
  const record = await a.store.read(id);
  assert.deepEqual([record.state, record.cancelRequested], ['cancelled', true]);
});

test('the third death in a row fails the job without running it', async () => {
  const [id] = await submitted('deaths');
  const lease = await a.lease('deaths');
  held(await a.store.claim(id, lease, never));
  for (let death = 1; death < MAX_DEATHS; death += 1)
    assert.equal(held(await a.store.claim(id, lease, () => true)).record.deaths, death);
  assert.equal(await a.store.claim(id, lease, () => true), 'ended');
  const record = await b.store.read(id);
  assert.deepEqual([record.state, record.failure?.code, record.attempt], ['failed', 'coordinator_lost', MAX_DEATHS]);
  assert.equal((await a.store.retry(id)).state, 'queued');
});

test('retry, cancel and delete say what state they expected', async () => {
  const [id] = await submitted('states');
  await assert.rejects(a.store.retry(id), { code: 'job_state', message: /is queued, expected failed or cancelled/ });
  await assert.rejects(a.store.delete(id), { code: 'job_state', message: /expected done, failed or cancelled/ });
  const owned = held(await a.store.claim(id, await a.lease('states'), never));
  await owned.finish([]);
  await assert.rejects(a.store.cancel(id), { code: 'job_state', message: /is done, expected queued or running/ });
  await a.store.delete(id);
  await assert.rejects(async () => a.store.read(id), { code: 'job_not_found' });
  await until('the other index follows', () => b.store.summary(id) === null);
  assert.deepEqual(await b.bus.events.read(id, 0, 10), []);
});

test('a record of a later schema is listed, and neither claimed nor changed', async () => {
  const [id] = await submitted('later');
  const key = `job.${id}`;
  const entry = (await a.bus.jobs.get(key))!;
  const later = { ...JSON.parse(new TextDecoder().decode(entry.value!)), schema: 99 };
  const bytes = new TextEncoder().encode(JSON.stringify(later));
  await a.bus.jobs.update(key, bytes, entry.revision);
  await until('the index has seen it', () => a.store.summary(id)?.isNewer === true);
  assert.equal(await a.store.claim(id, await a.lease('later'), () => true), null);
  await assert.rejects(a.store.cancel(id), { code: 'state_schema' });
  assert.deepEqual(new Uint8Array((await a.bus.jobs.get(key))!.value!), bytes);
  assert.deepEqual(
    [...a.store.index.unfinished()].filter((job) => job.id === id),
    [],
  );
});
