// Where affinity keys go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Placement } from '../../../coordinator/workers/placement.ts';

const KEYS = Array.from({ length: 10 }, (_, i) => `key ${i}`);

function owned(placement: Placement, workers: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const key of KEYS) {
    const owner = placement.owner(key, workers);
    counts[owner] = (counts[owner] ?? 0) + 1;
  }
  return counts;
}

test('keys are spread evenly and stay', () => {
  const placement = new Placement();
  assert.deepEqual(owned(placement, ['a', 'b']), { a: 5, b: 5 });
  const owners = KEYS.map((key) => placement.owner(key, ['a', 'b']));
  assert.deepEqual(
    KEYS.map((key) => placement.owner(key, ['b', 'a'])),
    owners,
  );
});

test('a worker that joins gets its share, and no more keys move than that', () => {
  const placement = new Placement();
  owned(placement, ['a', 'b']);
  placement.admit('c', ['a', 'b', 'c']);
  assert.deepEqual(owned(placement, ['a', 'b', 'c']).c, 3);
});

test('the keys of a worker that left are spread over the others', () => {
  const placement = new Placement();
  owned(placement, ['a', 'b', 'c']);
  placement.drop('b');
  assert.deepEqual(owned(placement, ['a', 'c']), { a: 5, c: 5 });
});
