// Halving of micro-batches when memory runs out.
import assert from 'node:assert/strict';
import test from 'node:test';
import { withFittingBatches } from '../../../coordinator/job/fitting-batches.ts';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import { EspalierError } from '../../../shared/errors.ts';

function trial(fits: (tokensPerBatch: number) => boolean, start = 1000) {
  const tried: number[] = [];
  const events: JobEvent[] = [];
  const run = async (tokensPerBatch: number) => {
    tried.push(tokensPerBatch);
    if (!fits(tokensPerBatch)) throw new EspalierError('out_of_memory', `${tokensPerBatch} are too many`);
    return tokensPerBatch;
  };
  return { tried, events, result: withFittingBatches(start, (event) => events.push(event), run) };
}

test('what fits runs once and says nothing', async () => {
  const { tried, events, result } = trial(() => true);
  assert.equal(await result, 1000);
  assert.deepEqual([tried, events], [[1000], []]);
});

test('what does not fit runs again with half, and each time says so', async () => {
  const { tried, events, result } = trial((tokens) => tokens <= 300);
  assert.equal(await result, 250);
  assert.deepEqual(tried, [1000, 500, 250]);
  assert.deepEqual(events, [
    { kind: 'notice', text: 'out of memory with 1000 tokens a batch: planning again with 500' },
    { kind: 'notice', text: 'out of memory with 500 tokens a batch: planning again with 250' },
  ]);
});

test('never below 128 tokens: the last failure is told', async () => {
  const { tried, result } = trial(() => false);
  await assert.rejects(result, { code: 'out_of_memory', message: '250 are too many' });
  assert.deepEqual(tried, [1000, 500, 250]);
});

test('any other failure is told at once', async () => {
  const failure = new EspalierError('engine', 'no');
  await assert.rejects(
    withFittingBatches(
      1000,
      () => assert.fail('nothing to tell'),
      () => Promise.reject(failure),
    ),
    failure,
  );
});
