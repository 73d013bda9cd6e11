// Tasks for which a worker has not what they run in: each worker is asked once, and none is left alone for it. The clock
// stands still, so nothing here waits for a pause.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { squareOfFirstShard } from '../../support/fake-executor.ts';
import { shardTask, shardTasks, squares } from '../../support/fake-tasks.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { gate, until } from '../../support/until.ts';
import { openSource, type TestSource } from '../../support/worker-list.ts';

/** The task that needs more than all workers have. */
const TIMED = 7;

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

function opened(): TestSource {
  const source = openSource(new ManualClock(), { taskDone() {}, taskRetried() {}, bytes() {} });
  releases.add(() => source.close());
  return source;
}

function withoutRuntime(request: RunRequest) {
  if (request.taskId === `fisher/${TIMED}`)
    throw new EspalierError('runtime_missing', 'the runtime cannot be loaded', { action: 'install it' });
  return squareOfFirstShard(request);
}

/** A worker that has all that it takes until the test lets it go on, and then one without the runtime. */
async function busyAndWithout(source: TestSource) {
  const release = gate();
  releases.add(() => release.open());
  const busy = await source.start({ run: (request) => release.opened.then(() => squareOfFirstShard(request)) });
  const held = source.scheduler.runTasks(shardTasks(2));
  held.catch(() => {});
  await until('it has all that it takes', () => busy.executor.started.length === 1);
  const without = await source.start({ run: withoutRuntime });
  return { busy, without, held, release };
}

test('a worker without it is asked once, and goes on with all else', async () => {
  const source = opened();
  const { busy, without, release } = await busyAndWithout(source);
  const running = source.scheduler.runTasks([shardTask(TIMED)]);
  await until('it was asked', () => without.executor.started.length === 1);
  assert.deepEqual(squares(await source.scheduler.runTasks(shardTasks(5))), [0, 1, 4, 9, 16]);
  assert.equal(without.executor.started.length, 6);
  assert.deepEqual(busy.executor.started, ['fisher/0']);
  release.open();
  assert.deepEqual(squares(await running), [TIMED ** 2]);
  assert.equal(without.executor.started.filter((id) => id === `fisher/${TIMED}`).length, 1);
});

test('where none has it the run ends with what the last one said, each asked once', async () => {
  const source = opened();
  const workers = await Promise.all([1, 2, 3].map(() => source.start({ run: withoutRuntime })));
  await assert.rejects(source.scheduler.runTasks([shardTask(TIMED)]), {
    code: 'runtime_missing',
    exitCode: 6,
    message: /^fisher\/7: on 127\.0\.0\.1:\d+ and 2 more: the runtime cannot be loaded$/,
    action: 'install it',
  });
  for (const { executor } of workers) assert.deepEqual(executor.started, [`fisher/${TIMED}`]);
  assert.deepEqual(squares(await source.scheduler.runTasks(shardTasks(4))), [0, 1, 4, 9]);
});

test('the run ends when the last worker leaves that may have it', async () => {
  const source = opened();
  const { busy, without, held, release } = await busyAndWithout(source);
  let isOver = false;
  const ended = assert
    .rejects(source.scheduler.runTasks([shardTask(TIMED)]), { code: 'runtime_missing', message: /^fisher\/7: on / })
    .then(() => {
      isOver = true;
    });
  await until('the other was asked', () => without.executor.started.length === 1);
  await source.scheduler.runTasks([shardTask(0)]);
  assert.equal(isOver, false, 'it waits for the busy one');
  source.remove(busy);
  await ended;
  release.open();
  assert.deepEqual(squares(await held), [0, 1]);
});

test('another process behind the same address is asked anew', async () => {
  const source = opened();
  const { without } = await busyAndWithout(source);
  const running = source.scheduler.runTasks([shardTask(TIMED)]);
  await until('it was asked', () => without.executor.started.length === 1);
  source.remove(without);
  await without.close();
  const second = await source.start({ port: without.port });
  assert.equal(second.address, without.address);
  assert.deepEqual(squares(await running), [TIMED ** 2]);
  assert.deepEqual(second.executor.started, [`fisher/${TIMED}`]);
});
