// What is stored while a job goes on: its order, what waits for it, and what a failure leaves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { WritesBehind } from '../../../coordinator/job/writes-behind.ts';
import { storeInTurns } from '../../../coordinator/stages/store-in-turns.ts';
import { EspalierError } from '../../../shared/errors.ts';

/** A write that ends when it is told to. */
function held() {
  let end: (error?: Error) => void = () => {};
  let isBegun = false;
  const ended = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const write = () => {
    isBegun = true;
    return ended;
  };
  return { write, end: (error?: Error) => end(error), isBegun: () => isBegun };
}

const FULL = new EspalierError('disk_full', 'no space is left');

test('one after the other, in the order in which they came; what was written under a name can be waited for', async () => {
  const behind = new WritesBehind();
  const [first, second] = [held(), held()];
  behind.add('first', first.write);
  behind.add('second', second.write);
  await nextTurn();
  assert.deepEqual([first.isBegun(), second.isBegun()], [true, false]);
  await behind.written('unknown');
  first.end();
  await behind.written('first');
  await nextTurn();
  assert.ok(second.isBegun());
  const settled = behind.settled();
  second.end();
  await settled;
  await behind.written('second');
});

test('after a failure nothing is written: told by what comes next, and at the end', async () => {
  const behind = new WritesBehind();
  const [first, second] = [held(), held()];
  behind.add('first', first.write);
  behind.add('second', second.write);
  first.end(FULL);
  await behind.written('second');
  assert.ok(!second.isBegun());
  assert.throws(() => behind.add('third', second.write), FULL);
  await assert.rejects(behind.settled(), FULL);
});

/** Finds 1, 2 and 3; the world is told when all are found. */
const findThree = async (onFound: (found: number, isLast: boolean) => void) => {
  for (const found of [1, 2, 3]) {
    onFound(found, found === 3);
    await nextTurn();
  }
  return 'all';
};

test('in turns: the first at once, the last as such, never two at a time; without a place behind, waited for', async () => {
  const stored: number[] = [];
  const told: number[] = [];
  let isStoring = false;
  const store = async (found: number) => {
    assert.ok(!isStoring);
    isStoring = true;
    await nextTurn();
    stored.push(found);
    isStoring = false;
  };
  assert.equal(await storeInTurns(undefined, { store, tell: (found) => told.push(found) }, findThree), 'all');
  assert.deepEqual(stored, [1, 3]);
  assert.deepEqual([...told].sort(), [1, 2, 3]);
});

test('in turns behind: after what came before, and before what comes later, which all is found without', async () => {
  const behind = new WritesBehind();
  const before = held();
  behind.add(null, before.write);
  const stored: (number | string)[] = [];
  const store = async (found: number) => {
    stored.push(found);
  };
  assert.equal(await storeInTurns(behind, { store, tell() {} }, findThree), 'all');
  behind.add(null, async () => {
    stored.push('later');
  });
  await nextTurn();
  assert.deepEqual(stored, []);
  before.end();
  await behind.settled();
  assert.deepEqual(stored, [3, 'later']);
});

test('in turns: what storing or finding fails with is told, when nothing is stored any more', async () => {
  const behind = new WritesBehind();
  const failing = async () => {
    throw FULL;
  };
  await assert.rejects(storeInTurns(undefined, { store: failing, tell() {} }, findThree), FULL);
  await assert.rejects(storeInTurns(behind, { store: failing, tell() {} }, findThree), FULL);
  const slow = held();
  let isOver = false;
  const lost = storeInTurns(behind, { store: slow.write, tell() {} }, async (onFound) => {
    onFound(1, false);
    throw new EspalierError('no_workers', 'none is left');
  }).catch((caught) => {
    isOver = true;
    throw caught;
  });
  await nextTurn();
  assert.ok(!isOver);
  slow.end();
  await assert.rejects(lost, { code: 'no_workers' });
});
