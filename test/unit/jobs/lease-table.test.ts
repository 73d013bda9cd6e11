// When the lease of another has lapsed, on a driven clock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseTable } from '../../../coordinator/jobs/lease-table.ts';

const LEASE_MS = 1_000;
const value = new Uint8Array([1]);

function world() {
  let nowMs = 0;
  const table = new LeaseTable(LEASE_MS, () => nowMs);
  return {
    table,
    /** Passes time as a process that runs does, with ticks. */
    pass(ms: number) {
      for (let left = ms; left > 0; left -= 100) {
        nowMs += Math.min(left, 100);
        table.tick();
      }
    },
    /** Passes time as a process does that is stopped. */
    standStill(ms: number) {
      nowMs += ms;
    },
  };
}

test('a lease holds while new revisions come and lapses a period after the last', () => {
  const { table, pass } = world();
  for (let revision = 1; revision <= 5; revision += 1) {
    table.apply({ key: 'coordinator.a', value, revision });
    pass(600);
    assert.equal(table.hasLapsed('coordinator.a'), false);
  }
  pass(600);
  assert.equal(table.hasLapsed('coordinator.a'), true);
});

test('the same revision told again, as after a new watch, renews nothing', () => {
  const { table, pass } = world();
  table.apply({ key: 'coordinator.a', value, revision: 1 });
  pass(900);
  table.apply({ key: 'coordinator.a', value, revision: 1 });
  pass(200);
  assert.equal(table.hasLapsed('coordinator.a'), true);
});

test('a key that is gone, or was never seen, lapses a period after that was noticed', () => {
  const { table, pass } = world();
  table.apply({ key: 'coordinator.a', value, revision: 1 });
  pass(900);
  table.apply({ key: 'coordinator.a', value: null, revision: 2 });
  pass(900);
  assert.equal(table.hasLapsed('coordinator.a'), false);
  assert.equal(table.hasLapsed('coordinator.b'), false, 'seen for the first time');
  pass(200);
  assert.equal(table.hasLapsed('coordinator.a'), true);
  assert.equal(table.hasLapsed('coordinator.b'), false);
  pass(1_000);
  assert.equal(table.hasLapsed('coordinator.b'), true);
});

test('a new connection starts all periods anew', () => {
  const { table, pass } = world();
  table.apply({ key: 'coordinator.a', value, revision: 1 });
  pass(1_500);
  assert.equal(table.hasLapsed('coordinator.a'), true);
  table.reconnected();
  assert.equal(table.hasLapsed('coordinator.a'), false);
  pass(1_100);
  assert.equal(table.hasLapsed('coordinator.a'), true);
});

test('a process that was stopped takes nothing from others before it has listened for a period again', () => {
  const { table, pass, standStill } = world();
  table.apply({ key: 'coordinator.a', value, revision: 1 });
  standStill(60_000);
  assert.equal(table.hasLapsed('coordinator.a'), false);
  pass(1_100);
  assert.equal(table.hasLapsed('coordinator.a'), true);
});
