// A lease that this process holds: what ends it, and that its own clock is enough to know.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnLease } from '../../../coordinator/jobs/own-lease.ts';
import type { KeyValueBucket } from '../../../shared/bus/bus.ts';
import { until } from '../../support/until.ts';

const LEASE_MS = 600;

/** One key in memory; `answers` false: changes are made and their answers lost. */
function memoryBucket() {
  const state = { value: null as Uint8Array | null, revision: 0, answers: true };
  const store = (value: Uint8Array | null) => {
    state.value = value;
    state.revision += 1;
    if (!state.answers) throw new Error('the answer is lost');
    return state.revision;
  };
  const bucket = {
    get: async (key: string) => (state.value === null ? null : { key, value: state.value, revision: state.revision }),
    create: async (_key: string, value: Uint8Array) => (state.value === null ? store(value) : null),
    update: async (_key: string, value: Uint8Array, revision: number) =>
      revision === state.revision ? store(value) : null,
    delete: async (_key: string, revision: number) => revision === state.revision && store(null) > 0,
  } as unknown as KeyValueBucket;
  return { state, bucket };
}

const terms = (owner: string) => ({ key: 'coordinator.x', owner, leaseMs: LEASE_MS });

test('it is renewed for as long as it is held, and its key is deleted with it', async () => {
  const { state, bucket } = memoryBucket();
  const lease = (await OwnLease.take(bucket, terms('a')))!;
  assert.equal(await OwnLease.take(bucket, terms('b')), null, 'a control: it is taken');
  await until('it was renewed', () => state.revision > 4);
  assert.equal(lease.isHeld, true);
  await lease.release();
  assert.deepEqual([state.value, lease.isHeld], [null, false]);
});

test('a process that was stopped for longer than a period knows at once that it has lost it', async () => {
  const { bucket } = memoryBucket();
  let nowMs = 0;
  const lease = (await OwnLease.take(bucket, { ...terms('a'), leaseMs: 60_000, now: () => nowMs }))!;
  nowMs = 60_000;
  assert.equal(lease.isHeld, true);
  nowMs = 60_001;
  assert.equal(lease.isHeld, false, 'before any timer ran');
  assert.equal((lease.lost.reason as { code: string }).code, 'lease_lost');
  nowMs = 0;
  assert.equal(lease.isHeld, false, 'for ever');
});

test('renewals whose answers are lost do not end it while it can be read, and another owner does', async () => {
  const { state, bucket } = memoryBucket();
  const lease = (await OwnLease.take(bucket, terms('a')))!;
  state.answers = false;
  const before = state.revision;
  await until('a renewal was made whose answer is lost', () => state.revision > before);
  state.answers = true;
  const after = state.revision;
  await until('it goes on', () => state.revision > after + 2);
  assert.equal(lease.isHeld, true);
  state.value = new TextEncoder().encode('{"owner":"b"}');
  state.revision += 1;
  await until('it is lost', () => lease.lost.aborted);
  assert.match((lease.lost.reason as Error).message, /its key has another owner/);
});

test('a key that is deleted ends it', async () => {
  const { state, bucket } = memoryBucket();
  const lease = (await OwnLease.take(bucket, terms('a')))!;
  state.value = null;
  state.revision += 1;
  await until('it is lost', () => lease.lost.aborted);
  assert.match((lease.lost.reason as Error).message, /its key was deleted/);
});
