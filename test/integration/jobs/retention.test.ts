// What is removed and what stays, on a driven wall clock over a real store.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';
import { Housekeeping } from '../../../coordinator/jobs/housekeeping.ts';
import type { JobSpec } from '../../../coordinator/jobs/job-record.ts';
import { digestsIn, removeOld } from '../../../coordinator/jobs/retention.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { SILENT_LOG } from '../../../shared/log.ts';
import { SPEC, submission } from '../../support/job-records.ts';
import { busAway, JobWorld, LEASE_MS, type Seat, withJobs } from '../../support/job-world.ts';
import { until } from '../../support/until.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOTHING = { jobs: 0, jobsForRoom: 0, leftovers: 0, campaigns: 0, blobs: 0 };

let world: JobWorld;
let seat: Seat;
let aheadMs = 0;
/** What the store says it has of its 100 bytes; null: the truth. */
let usedBytes: number | null = null;
let usedRecordBytes: number | null = null;
let houses: Housekeeping[] = [];

beforeEach(async () => {
  world = await JobWorld.open();
  seat = await world.seat();
  aheadMs = 0;
  usedBytes = null;
  usedRecordBytes = null;
});
afterEach(async () => {
  // Also after a test that failed: they would keep the process.
  for (const house of houses.splice(0)) await house.close();
  await world.close();
});

async function put(text: string): Promise<string> {
  const bytes = Buffer.from(text);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const chunks = async function* () {
    yield bytes;
  };
  await seat.bus.objects.put(digest, bytes.length, chunks());
  return digest;
}

const isStored = async (digest: string) => (await seat.bus.objects.find(digest)) !== null;

function specOf(digest: string): JobSpec {
  return {
    ...SPEC,
    data: { kind: 'blobs', label: 'train.jsonl', files: [{ name: 'data.jsonl', digest, sizeBytes: 1 }] },
  };
}

/** One pass at the driven time. */
function pass() {
  const { bus, store } = seat;
  const parts = { jobs: using(bus.jobs, usedRecordBytes), objects: using(bus.objects, usedBytes) };
  const options = { retentionMs: 7 * DAY_MS, now: () => Date.now() + aheadMs, signal: new AbortController().signal };
  return removeOld({ bus: parts, store, ...options });
}

function using<Part extends Bus['jobs'] | Bus['objects']>(part: Part, bytes: number | null): Part {
  return new Proxy(part, {
    get: (target, name) => {
      if (name === 'usage' && bytes !== null) return async () => ({ bytes, limitBytes: 100 });
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A job that has run to its end: its data, a stage and a result are blobs. */
async function finishedJob(name: string): Promise<{ id: string; blobs: string[] }> {
  const data = await put(`data of ${name}`);
  const { jobs } = await seat.store.submit(submission(name, [{ name, spec: specOf(data) }]));
  const lease = await seat.lease(name);
  const job = await seat.store.claim(jobs[0].id, lease, () => false);
  assert.ok(job !== null && job !== 'ended');
  const [stage, result] = [await put(`stage of ${name}`), await put(`result of ${name}`)];
  await job.commitStage('fisher', { kind: 'tensors', digest: stage, sizeBytes: 1, meta: {} });
  await job.finish([{ budget: '0.5', files: [{ name: 'config.json', digest: result, sizeBytes: 1 }], report: {} }]);
  return { id: jobs[0].id, blobs: [data, stage, result] };
}

test('jobs that ended longer ago than the retention go, with their events, campaign and blobs; others stay', async () => {
  const ended = await finishedJob('ended');
  const waiting = await put('data of a job that waits');
  const { jobs } = await seat.store.submit(submission('waits', [{ spec: specOf(waiting) }]));
  aheadMs = 7 * DAY_MS - HOUR_MS / 2;
  assert.deepEqual(await pass(), NOTHING, 'a control: not yet');
  aheadMs = 7 * DAY_MS + HOUR_MS / 2;
  assert.deepEqual(await pass(), { ...NOTHING, jobs: 1, campaigns: 1, blobs: 3 });
  assert.equal(seat.store.summary(ended.id), null);
  for (const digest of ended.blobs) assert.equal(await isStored(digest), false);
  assert.deepEqual(await seat.bus.events.read(ended.id, 0, 10), []);
  assert.equal(seat.store.summary(jobs[0].id)?.state, 'queued');
  assert.equal(await isStored(waiting), true);
  assert.deepEqual(await pass(), NOTHING);
});

test('blobs that no record names go when they are no longer young, shared ones with the last that names them', async () => {
  const shared = await put('shared');
  const loose = await put('loose');
  await seat.store.submit(submission('first', [{ spec: specOf(shared) }]));
  const { jobs } = await seat.store.submit(submission('second', [{ spec: specOf(shared) }]));
  aheadMs = HOUR_MS / 2;
  assert.deepEqual(await pass(), NOTHING);
  aheadMs = 2 * HOUR_MS;
  assert.deepEqual(await pass(), { ...NOTHING, blobs: 1 });
  assert.deepEqual([await isStored(shared), await isStored(loose)], [true, false]);
  await seat.store.cancel(jobs[0].id);
  await seat.store.delete(jobs[0].id);
  assert.deepEqual(await pass(), { ...NOTHING, campaigns: 1 });
  assert.equal(await isStored(shared), true);
});

test('a record of a later schema keeps its blobs and stays', async () => {
  const digest = await put('of a later schema');
  const later = {
    schema: 99,
    id: 'ff00000000000000',
    state: 'ended-somehow',
    finishedAt: '2001-01-01',
    deep: [{ digest }],
  };
  await seat.bus.jobs.create('job.ff00000000000000', new TextEncoder().encode(JSON.stringify(later)));
  await until('the index has it', () => seat.store.summary('ff00000000000000') !== null);
  aheadMs = 30 * DAY_MS;
  assert.deepEqual(await pass(), NOTHING);
  assert.equal(await isStored(digest), true);
});

test('what a submit left that was cut off goes after an hour', async () => {
  const cut = await world.seat((bus) =>
    withJobs(bus, (jobs) => ({
      create: (key, value) => (key.startsWith('job.') ? jobs.create(key, value) : Promise.reject(busAway())),
    })),
  );
  await assert.rejects(cut.store.submit(submission('cut', ['a', 'b'])), { code: 'bus_unavailable' });
  await until('the index has what is left', () => [...seat.store.index.jobs()].length === 2);
  assert.deepEqual(await pass(), NOTHING);
  aheadMs = 2 * HOUR_MS;
  assert.deepEqual(await pass(), { ...NOTHING, leftovers: 2 });
  assert.deepEqual([...seat.store.index.jobs()], []);
});

test('a coordinator whose clock is days behind submits: nothing of it is taken for a leftover', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3 * DAY_MS });
  const { campaign, jobs } = await seat.store.submit(submission('behind', ['a']));
  const cut = await world.seat((bus) =>
    withJobs(bus, (records) => ({
      create: (key, value) => (key.startsWith('job.') ? records.create(key, value) : Promise.reject(busAway())),
    })),
  );
  await assert.rejects(cut.store.submit(submission('under way', ['b'])), { code: 'bus_unavailable' });
  t.mock.timers.reset();
  await until('the index has both', () => [...seat.store.index.jobs()].length === 2);
  // As the watch may tell of a campaign before it tells of its jobs.
  seat.store.index.removeJob(jobs[0].id);
  assert.deepEqual(await pass(), NOTHING);
  assert.notEqual(await seat.bus.jobs.get(`campaign.${campaign.id}`), null);
});

test('a blob that is kept or put between the look and the deletion stays', async () => {
  const digests = [await put('kept'), await put('put again'), await put('loose')];
  const { bus, store } = seat;
  const other = (await world.seat()).bus;
  const objects = new Proxy(bus.objects, {
    get: (target, name) => {
      if (name === 'list')
        return async function* () {
          yield* target.list();
          assert.ok((await other.objects.keep(digests[0])) !== null);
          await other.objects.put(digests[1], 9, { [Symbol.asyncIterator]: () => assert.fail('it is there') });
        };
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const before = new Map<string, number>();
  for (const digest of digests) before.set(digest, (await bus.objects.find(digest))!.storedAt.getTime());
  await until('the clock of the server went on', () => Date.now() > Math.max(...before.values()) + 5);
  const now = () => Math.max(...before.values()) + HOUR_MS + 1;
  const removed = await removeOld({
    bus: { jobs: bus.jobs, objects },
    store,
    retentionMs: DAY_MS,
    now,
    signal: new AbortController().signal,
  });
  assert.deepEqual(removed, { ...NOTHING, blobs: 1 });
  assert.deepEqual(await Promise.all(digests.map(isStored)), [true, true, false]);
});

test('above the high mark the jobs that ended first go, as many as are needed, and their blobs at once', async () => {
  const first = await finishedJob('first');
  const second = await finishedJob('second');
  const waiting = await put('data of a job that waits');
  await seat.store.submit(submission('waits', [{ spec: specOf(waiting) }]));
  usedBytes = 77;
  assert.deepEqual(
    await pass(),
    NOTHING,
    'a control: jobs that have just ended, whose blobs another may be about to name',
  );
  aheadMs = HOUR_MS / 2;
  usedBytes = 75;
  assert.deepEqual(await pass(), NOTHING, 'a control: at the mark, not above it');
  // 12 bytes above the low mark of 65; the blobs of the first job have 48.
  usedBytes = 77;
  assert.deepEqual(await pass(), { ...NOTHING, jobsForRoom: 1, blobs: 3 });
  assert.equal(seat.store.summary(first.id), null);
  for (const digest of first.blobs) assert.equal(await isStored(digest), false);
  for (const digest of [...second.blobs, waiting]) assert.equal(await isStored(digest), true);
});

test('a bucket of records above its high mark is made room in as well', async () => {
  const first = await finishedJob('first');
  const second = await finishedJob('second');
  aheadMs = HOUR_MS / 2;
  // 15 bytes above the low mark: one record is more than that.
  usedRecordBytes = 80;
  assert.deepEqual(await pass(), { ...NOTHING, jobsForRoom: 1, blobs: 3 });
  assert.deepEqual([seat.store.summary(first.id), seat.store.summary(second.id)?.state], [null, 'done']);
});

test('of several coordinators one keeps house; when it is gone another does', async () => {
  const other = await world.seat();
  const options = { leaseMs: LEASE_MS, retentionMs: DAY_MS, log: SILENT_LOG, roundMs: 100 };
  const seats = [seat, other].map((place, i) => ({
    place,
    house: new Housekeeping({ ...options, ...place, id: `h${i}` }),
  }));
  houses = seats.map(({ house }) => house);
  await until('one holds the task', () => seats.some(({ house }) => house.isHolder));
  const holder = seats.find(({ house }) => house.isHolder)!;
  const heir = seats.find((found) => found !== holder)!;
  assert.equal(heir.house.isHolder, false);
  // Tokens that are missing come back: nothing runs these jobs.
  const { jobs } = await seat.store.submit(submission('tokens', ['a', 'b', 'c']));
  const token = await seat.bus.wake.next(1_000, new AbortController().signal);
  await token!.done();
  await until('all tokens are there', counts(other.bus, jobs.length));
  await holder.place.cut();
  await until('the other one holds the task', () => heir.house.isHolder, 10 * LEASE_MS);
  assert.equal(holder.house.isHolder, false);
});

test('digests are found wherever they stand in a record', () => {
  const digest = 'ab'.repeat(32);
  const bytes = new TextEncoder().encode(
    JSON.stringify({ a: [{ b: digest }], c: `${digest}0`, é: digest.toUpperCase() }),
  );
  assert.deepEqual(digestsIn(bytes), [digest]);
});

/** Asks again with each look; the answer to the last look may never come, when the bus is closed by then. */
function counts(bus: Bus, wanted: number): () => boolean {
  let count = -1;
  return () => {
    bus.wake.count().then(
      (found) => {
        count = found;
      },
      () => {},
    );
    return count === wanted;
  };
}
