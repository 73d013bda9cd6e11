// As many tokens as unfinished jobs, whatever was lost or left over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WakeTokens } from '../../../coordinator/jobs/wake-tokens.ts';
import type { WakeQueue, WakeToken } from '../../../shared/bus/bus.ts';

/** A queue in memory that refuses a second token of one job, as the stream does. */
function memoryQueue(...ids: string[]) {
  const tokens = new Set(ids);
  const queue: WakeQueue = {
    add: async (id) => {
      tokens.add(id);
    },
    next: async () => null,
    count: async () => tokens.size,
  };
  const given: number[] = [];
  const token = (id: string): WakeToken => ({
    id,
    renew: () => {},
    done: async () => {
      tokens.delete(id);
    },
    giveBack: async (delayMs) => {
      given.push(delayMs);
    },
  });
  return { tokens, queue, given, token };
}

test('a token of a job that is not known yet is given back at first', async () => {
  const { tokens, queue, given, token } = memoryQueue('a', 'b');
  const wakes = new WakeTokens(queue);
  await wakes.decline(token('a'), 1, false);
  assert.deepEqual([[...tokens], given], [['a', 'b'], [500]]);
  await wakes.decline(token('a'), 1, false);
  assert.deepEqual([[...tokens], given], [['b'], [500]], 'two tokens for one job: one is taken out');
});

test('of more tokens than unfinished jobs those that come in vain are taken out, the others wait', async () => {
  const { tokens, queue, given, token } = memoryQueue('a', 'b');
  const wakes = new WakeTokens(queue);
  await wakes.decline(token('a'), 1, true);
  assert.deepEqual([[...tokens], given], [['b'], []]);
  await wakes.decline(token('b'), 1, true);
  assert.deepEqual([[...tokens], given], [['b'], [5_000]]);
});

test('missing tokens are added, a limited number in each round, until all are there', async () => {
  const { tokens, queue } = memoryQueue('job 3');
  const wakes = new WakeTokens(queue);
  const unfinished = Array.from({ length: 1_200 }, (_, i) => `job ${i}`);
  const sizes: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    await wakes.repair(unfinished);
    sizes.push(tokens.size);
  }
  assert.deepEqual(sizes, [500, 1_000, 1_200, 1_200]);
  await wakes.repair([]);
  assert.equal(tokens.size, 1_200);
});
