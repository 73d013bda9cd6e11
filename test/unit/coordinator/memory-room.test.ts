// Shares of a coordinator's memory: never more than there is, in order, and nobody waits for ever.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MemoryRoom, type MemoryShare } from '../../../coordinator/job/memory-room.ts';
import { randomStream } from '../../../pruning/random.ts';
import { EspalierError } from '../../../shared/errors.ts';

const { signal } = new AbortController();

test('a share is as large as there is room for, and waits for the least', async () => {
  const room = new MemoryRoom(100);
  const first = await room.take({ least: 10, most: 70 }, signal);
  const second = await room.take({ least: 10, most: 70 }, signal);
  assert.deepEqual([first.bytes, second.bytes, room.freeBytes], [70, 30, 0]);
  const order: number[] = [];
  const third = room.take({ least: 40, most: 60 }, signal).then((share) => {
    order.push(3);
    return share;
  });
  const fourth = room.take({ least: 5, most: 5 }, signal).then((share) => {
    order.push(4);
    return share;
  });
  second.release();
  await nextTurn();
  assert.deepEqual(order, [], 'who came first is not overtaken by who needs less');
  first.shrink(30);
  first.shrink(50);
  assert.equal((await third).bytes, 60, 'what nobody waits for is taken, too');
  assert.equal((await fourth).bytes, 5);
  assert.deepEqual(order, [3, 4]);
  for (const share of [first, second, await third, await fourth]) {
    share.release();
    share.release();
  }
  assert.equal(room.freeBytes, 100);
});

test('more than the whole room is the whole room, alone', async () => {
  const room = new MemoryRoom(100);
  const small = await room.take({ least: 1, most: 1 }, signal);
  const large = room.take({ least: 1000, most: 2000 }, signal);
  await nextTurn();
  small.release();
  const share = await large;
  assert.deepEqual([share.bytes, room.freeBytes], [100, 0]);
  share.release();
});

test('who is interrupted leaves the line, and lets those behind on', async () => {
  const room = new MemoryRoom(100);
  const held = await room.take({ least: 60, most: 60 }, signal);
  const interrupted = new AbortController();
  const large = room.take({ least: 80, most: 80 }, interrupted.signal);
  const small = room.take({ least: 40, most: 40 }, signal);
  const reason = new EspalierError('cancelled', 'the user asked for it');
  interrupted.abort(reason);
  await assert.rejects(large, reason);
  (await small).release();
  held.release();
  await assert.rejects(room.take({ least: 1, most: 1 }, interrupted.signal), reason);
  assert.equal(room.freeBytes, 100);
});

test('whatever is taken and given back, the room is never overdrawn and all are served', async () => {
  const random = randomStream(1, 'room');
  const room = new MemoryRoom(1000);
  let used = 0;
  const job = async () => {
    for (let round = 0; round < 20; round++) {
      const least = 1 + random.integer(600);
      const share: MemoryShare = await room.take({ least, most: least + random.integer(500) }, signal);
      assert.ok(share.bytes >= least);
      used += share.bytes;
      assert.ok(used <= 1000 && room.freeBytes <= 1000 - used);
      await nextTurn();
      used -= share.bytes;
      share.release();
    }
  };
  await Promise.all(Array.from({ length: 12 }, job));
  assert.equal(room.freeBytes, 1000);
});
