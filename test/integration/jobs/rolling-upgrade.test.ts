// Coordinators of two versions at once: a job that an older one runs stays its own until it ends or the older one goes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RECORD_SCHEMA } from '../../../coordinator/jobs/job-record.ts';
import { OwnedJob } from '../../../coordinator/jobs/owned-job.ts';
import type { KeyEntry } from '../../../shared/bus/bus.ts';
import { submission } from '../../support/job-records.ts';
import { JobWorld, type Seat, withJobs } from '../../support/job-world.ts';
import { until } from '../../support/until.ts';

const OLDER_SCHEMA = RECORD_SCHEMA - 1;

let world: JobWorld;
let older: Seat;
let newer: Seat;

before(async () => {
  world = await JobWorld.open();
  newer = await world.seat();
  older = await world.seat((bus) =>
    withJobs(bus, (jobs) => ({
      get: async (key) => asOlderReads(await jobs.get(key)),
      update: (key, value, revision) =>
        jobs.update(
          key,
          withSchema(value, () => OLDER_SCHEMA),
          revision,
        ),
      watch: (prefix, onEntry, signal) => jobs.watch(prefix, (entry) => onEntry(asOlderReads(entry)), signal),
    })),
  );
});
after(() => world.close());

/** As a program of the schema before sees it: its own schema is the newest, and this one's is newer than it knows. */
function asOlderReads<Entry extends KeyEntry | null>(entry: Entry): Entry {
  if (!entry?.value) return entry;
  return { ...entry, value: withSchema(entry.value, (schema) => schema + RECORD_SCHEMA - OLDER_SCHEMA) };
}

function withSchema(bytes: Uint8Array, change: (schema: number) => number): Uint8Array {
  const record = JSON.parse(new TextDecoder().decode(bytes));
  return new TextEncoder().encode(JSON.stringify({ ...record, schema: change(record.schema) }));
}

async function stored(id: string): Promise<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode((await newer.bus.jobs.get(`job.${id}`))!.value!));
}

/** A job that the older coordinator runs, its record in the older schema. */
async function runByOlder(key: string): Promise<OwnedJob> {
  const { jobs } = await newer.store.submit(submission(key, ['one']));
  const [{ id }] = jobs;
  const entry = (await newer.bus.jobs.get(`job.${id}`))!;
  await older.bus.jobs.update(entry.key, entry.value!, entry.revision);
  await until('the older one may claim it', () => [...older.store.index.unfinished()].some((job) => job.id === id));
  const owned = await older.store.claim(id, await older.lease(key), () => false);
  assert.ok(owned instanceof OwnedJob);
  assert.equal((await stored(id)).schema, OLDER_SCHEMA);
  return owned;
}

test('a cancel reaches the older owner, which ends the job itself and at once', async () => {
  const owned = await runByOlder('cancelled');
  await owned.commitStage('plan', { kind: 'json', value: 1 });
  const before = await stored(owned.id);
  const told = await newer.store.cancel(owned.id);
  assert.deepEqual([told.state, told.cancelRequested], ['running', true]);
  assert.deepEqual(await stored(owned.id), { ...before, cancelRequested: true }, 'and nothing else has changed');
  await until('its owner stops', () => owned.signal.aborted);
  assert.equal(owned.stopped, 'cancelled');
  await owned.endCancelled();
  const { schema, state } = await stored(owned.id);
  assert.deepEqual([schema, state], [OLDER_SCHEMA, 'cancelled']);
});

test('a cancel that comes between two writes of the older owner is found by its next one', async () => {
  const owned = await runByOlder('between');
  const committing = owned.commitStage('plan', { kind: 'json', value: 1 });
  await newer.store.cancel(owned.id);
  await committing.catch((caught: unknown) => assert.equal((caught as { code: string }).code, 'cancelled'));
  await until('its owner stops', () => owned.signal.aborted);
  assert.equal(owned.stopped, 'cancelled');
  await owned.endCancelled();
  assert.equal((await newer.store.read(owned.id)).state, 'cancelled');
});

test('what has ended is written in the newer schema: no older owner reads it any more', async () => {
  const owned = await runByOlder('retried');
  await newer.store.cancel(owned.id);
  await until('its owner stops', () => owned.signal.aborted);
  await owned.endCancelled();
  await until('the newer one knows', () => newer.store.summary(owned.id)?.state === 'cancelled');
  await newer.store.retry(owned.id);
  assert.equal((await stored(owned.id)).schema, RECORD_SCHEMA);
  await until('the older one leaves it alone', () => older.store.summary(owned.id)?.isNewer === true);
});
