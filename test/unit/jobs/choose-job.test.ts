// Which job is next.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Candidate, chooseJob } from '../../../coordinator/jobs/choose-job.ts';

const job = (id: string, campaign: string, changes: Partial<Candidate> = {}): Candidate => ({
  ...{ id, campaign, priority: 0, createdAt: '2026-01-01T00:00:00.000Z', position: 0 },
  ...changes,
});

test('nothing of nothing', () => assert.equal(chooseJob([], new Map()), null));

test('the highest priority goes first, whatever its campaign runs and however young it is', () => {
  const urgent = job('urgent', 'busy', { priority: 5, createdAt: '2026-02-01T00:00:00.000Z' });
  assert.equal(chooseJob([job('old', 'idle'), urgent], new Map([['busy', 9]])), urgent);
});

test('of one priority, the campaign with the fewest running jobs goes first, then the oldest, then its own order', () => {
  const later = { createdAt: '2026-01-02T00:00:00.000Z' };
  const waiting = [job('a2', 'a', { position: 1 }), job('a1', 'a'), job('b1', 'b', later)];
  assert.equal(chooseJob(waiting, new Map([['a', 1]]))?.id, 'b1');
  assert.equal(
    chooseJob(
      waiting,
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
    )?.id,
    'a1',
  );
});

test('a large campaign and a small one that comes later share what is free', () => {
  const waiting = new Set([
    ...Array.from({ length: 100 }, (_, position) => job(`large${position}`, 'large', { position })),
    ...Array.from({ length: 3 }, (_, position) =>
      job(`small${position}`, 'small', { position, createdAt: '2026-01-05T00:00:00.000Z' }),
    ),
  ]);
  const running = new Map([['large', 4]]);
  const order: string[] = [];
  for (let i = 0; i < 8; i += 1) {
    const next = chooseJob(waiting, running)!;
    waiting.delete(next);
    running.set(next.campaign, (running.get(next.campaign) ?? 0) + 1);
    order.push(next.id);
  }
  assert.deepEqual(order, ['small0', 'small1', 'small2', 'large0', 'large1', 'large2', 'large3', 'large4']);
});
