// How many jobs at once, how long a job is left alone, how many calls at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../coordinator/jobs/backoff.ts';
import { inParallel } from '../../../coordinator/jobs/in-parallel.ts';
import { maxJobs } from '../../../coordinator/jobs/max-jobs.ts';
import { WakeUp } from '../../../coordinator/jobs/wake-up.ts';

test('two jobs for a worker, shared by the coordinators that are alive, and never less than two', () => {
  const leases = (alive: number, gone = 0) => ({
    present: () => Array.from({ length: alive + gone }, (_, i) => `coordinator.${i < alive ? 'alive' : 'gone'}${i}`),
    hasLapsed: (key: string) => key.startsWith('coordinator.gone'),
  });
  assert.equal(maxJobs(64, leases(1)), 128);
  assert.equal(maxJobs(64, leases(2, 3)), 64);
  assert.equal(maxJobs(3, leases(4)), 2);
  assert.equal(maxJobs(0, leases(1)), 2);
  assert.equal(maxJobs(1, leases(0)), 2);
});

test('a job that is handed back again and again is left alone longer each time, up to half a minute', () => {
  let nowMs = 0;
  const backoff = new Backoff(() => nowMs);
  assert.equal(backoff.isOver('j'), true);
  for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    backoff.note('j');
    nowMs += pauseMs - 1;
    assert.equal(backoff.isOver('j'), false, `${pauseMs}`);
    nowMs += 1;
    assert.equal(backoff.isOver('j'), true, `${pauseMs}`);
  }
  backoff.forget('j');
  backoff.note('j');
  nowMs += 1_000;
  assert.equal(backoff.isOver('j'), true);
});

test('calls run a few at a time, in order of their items; after a failure none is started', async () => {
  let running = 0;
  let most = 0;
  const double = async (value: number) => {
    most = Math.max(most, ++running);
    await null;
    running -= 1;
    return value * 2;
  };
  assert.deepEqual(await inParallel([1, 2, 3, 4, 5, 6, 7], 3, double), [2, 4, 6, 8, 10, 12, 14]);
  assert.equal(most, 3);
  let calls = 0;
  const failing = async (value: number) => {
    calls += 1;
    await null;
    if (value === 2) throw new Error('no');
  };
  await assert.rejects(
    inParallel(
      Array.from({ length: 50 }, (_, i) => i),
      2,
      failing,
    ),
    /no/,
  );
  assert.ok(calls < 10, `${calls}`);
});

test('a pause ends when it is woken, also by a call that came before', async () => {
  const pause = new WakeUp();
  const from = performance.now();
  const waiting = pause.wait(60_000);
  pause.wake();
  await waiting;
  pause.wake();
  await pause.wait(60_000);
  assert.ok(performance.now() - from < 30_000);
  await pause.wait(1);
});
