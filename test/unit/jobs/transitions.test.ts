// The changes of a record: claims, deaths, requeues, ends and retries.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobFailure, JobRecord } from '../../../coordinator/jobs/job-record.ts';
import {
  cancelled,
  claimed,
  failed,
  failureOf,
  finished,
  handedBack,
  MAX_DEATHS,
  MAX_REQUEUES,
  requeued,
  retried,
  withStage,
} from '../../../coordinator/jobs/transitions.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { jobRecord, NOW } from '../../support/job-records.ts';

const FAILURE: JobFailure = { code: 'engine', message: 'it broke', action: 'try again' };
const LATER = '2026-01-02T03:05:00.000Z';
const stage = { kind: 'json', value: 1 } as const;

test('a claim of a queued job counts an attempt and keeps when it first started', () => {
  const first = claimed(jobRecord(), 'a', NOW);
  assert.deepEqual(
    first,
    jobRecord({ state: 'running', startedAt: NOW, attempt: 1, lease: { owner: 'a', attempt: 1 } }),
  );
  const again = claimed(handedBack(first), 'b', LATER);
  assert.equal(again.startedAt, NOW);
  assert.deepEqual(again.lease, { owner: 'b', attempt: 2 });
  assert.equal(again.deaths, 0);
});

test('three claims in a row that end with a lapsed lease and store nothing fail the job without running it', () => {
  let record = claimed(jobRecord(), 'a', NOW);
  for (let death = 1; death < MAX_DEATHS; death += 1) {
    record = claimed(record, 'a', NOW);
    assert.deepEqual([record.state, record.deaths], ['running', death]);
  }
  record = claimed(record, 'a', LATER);
  assert.deepEqual([record.state, record.finishedAt, record.lease], ['failed', LATER, null]);
  assert.equal(record.failure?.code, 'coordinator_lost');
  assert.equal(record.attempt, MAX_DEATHS, 'it was not claimed once more');
});

test('a claim that stored a stage before its lease lapsed is no death, the next one without is the first', () => {
  let record = claimed(claimed(jobRecord(), 'a', NOW), 'a', NOW);
  assert.equal(record.deaths, 1);
  record = withStage(record, 'plan', stage);
  assert.equal(record.deaths, 0);
  record = claimed(record, 'a', NOW);
  assert.deepEqual([record.state, record.deaths], ['running', 0]);
  record = claimed(record, 'a', NOW);
  assert.equal(record.deaths, 1);
});

test('dropping a stage is no progress', () => {
  const record = withStage(withStage(claimed(jobRecord(), 'a', NOW), 'plan', stage), 'tune/1', stage);
  const next = claimed(record, 'a', NOW);
  const dropped = withStage(next, 'plan', null);
  assert.deepEqual(Object.keys(dropped.stages), ['tune/1']);
  assert.equal(dropped.stageAttempt, 1);
});

test('an error that may pass queues the job again, five times in a row fail it with the reason', () => {
  let record: JobRecord = jobRecord();
  for (let times = 1; times < MAX_REQUEUES; times += 1) {
    record = requeued(claimed(record, 'a', NOW), FAILURE, NOW);
    assert.deepEqual([record.state, record.requeues, record.lease, record.failure], ['queued', times, null, null]);
  }
  // A control: with a stage in between it goes on.
  const progressed = requeued(withStage(claimed(record, 'a', NOW), 'plan', stage), FAILURE, NOW);
  assert.deepEqual([progressed.state, progressed.requeues], ['queued', 1]);
  record = requeued(claimed(record, 'a', NOW), FAILURE, LATER);
  assert.deepEqual([record.state, record.finishedAt, record.failure], ['failed', LATER, FAILURE]);
});

test('a full store is no fault of a job: it waits for room, however often', () => {
  const full = { ...FAILURE, code: 'store_full' };
  let record = jobRecord({ requeues: 2 });
  for (let i = 0; i < 3 * MAX_REQUEUES; i += 1) record = requeued(claimed(record, 'a', NOW), full, NOW);
  assert.deepEqual([record.state, record.requeues, record.failure], ['queued', 2, null]);
});

test('a job that is to be cancelled ends as cancelled when someone claims it', () => {
  const running = { ...claimed(jobRecord(), 'a', NOW), cancelRequested: true };
  const record = claimed(running, 'b', LATER);
  assert.deepEqual([record.state, record.finishedAt, record.attempt], ['cancelled', LATER, 1]);
});

test('ends let go of the lease, a retry starts anew with all stages', () => {
  const running = withStage(claimed(jobRecord(), 'a', NOW), 'plan', stage);
  const results = [{ budget: '0.5', files: [], report: {} }];
  for (const ended of [finished(running, results, LATER), failed(running, FAILURE, LATER), cancelled(running, LATER)]) {
    assert.deepEqual([ended.lease, ended.finishedAt], [null, LATER]);
    assert.deepEqual(ended.stages, { plan: stage });
  }
  assert.deepEqual(finished(running, results, LATER).results, results);
  const again = retried({ ...failed(running, FAILURE, LATER), deaths: 2, requeues: 4 });
  assert.deepEqual(again, { ...running, state: 'queued', lease: null, deaths: 0, requeues: 0 });
});

test('of an error that is very long a record keeps the beginning', () => {
  const failure = failureOf(new EspalierError('model_format', 'x'.repeat(100_000)));
  assert.deepEqual([failure.code, failure.message.length], ['model_format', 2_000]);
  assert.equal(failure.action, 'save the model again with save_pretrained');
});
