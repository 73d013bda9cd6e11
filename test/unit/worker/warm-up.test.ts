// When an engine warms up: first of all, then in pauses between tasks, never in a task's way, and not again after a failure.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextRoundOfEvents } from 'node:timers/promises';
import { EspalierError } from '../../../shared/errors.ts';
import { WARM_UP_PARTS, type WarmUpPart } from '../../../worker/tasks/warm-up-parts.ts';
import { PAUSE_MS, WarmUp } from '../../../worker/warm-up.ts';

interface Part {
  readonly part: WarmUpPart;
  readonly signal: AbortSignal;
  done(): void;
  fail(error: EspalierError): void;
}

/** A warm-up whose parts end when the test says so or when they are given up, and time that passes when it says so. */
function warmUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const begun: Part[] = [];
  const failures: EspalierError[] = [];
  const own = new WarmUp({
    run: (part, signal) =>
      new Promise((done, fail) => {
        signal.addEventListener('abort', () => fail(new EspalierError('cancelled', `${part}: given up`)));
        begun.push({ part, signal, done, fail });
      }),
    onFailure: (error) => failures.push(error),
  });
  const pass = async (ms: number) => {
    await nextRoundOfEvents();
    t.mock.timers.tick(ms);
    await nextRoundOfEvents();
  };
  const begin = async () => {
    const ready = own.begin();
    begun[0].done();
    await ready;
  };
  return { own, begun, failures, pass, begin };
}

test('it begins with what every job needs; the others follow in their order, each after a pause, and then no more', async (t) => {
  const { own, begun, failures, pass } = warmUp(t);
  let isReady = false;
  void own.begin().then(() => {
    isReady = true;
  });
  assert.equal(begun.length, 1, 'at once');
  await pass(10 * PAUSE_MS);
  assert.equal(isReady, false);
  for (let count = 1; count <= WARM_UP_PARTS.length; count++) {
    assert.equal(begun.length, count);
    begun[count - 1].done();
    await pass(PAUSE_MS - 1);
    assert.equal(begun.length, count);
    assert.equal(isReady, true);
    await pass(1);
  }
  assert.deepEqual(
    begun.map(({ part }) => part),
    [...WARM_UP_PARTS],
  );
  assert.deepEqual(failures, []);
});

test('a task ends the part that computes, which comes again a pause after the task', async (t) => {
  const { own, begun, failures, pass, begin } = warmUp(t);
  await begin();
  await pass(PAUSE_MS);
  await own.hold();
  assert.equal(begun[1].signal.aborted, true);
  await pass(10 * PAUSE_MS);
  assert.equal(begun.length, 2, 'nothing begins while a task has the engine');
  own.goOn();
  await pass(PAUSE_MS);
  assert.equal(begun.length, 3);
  assert.equal(begun[2].part, begun[1].part);
  assert.deepEqual(failures, []);
});

test('tasks that follow each other leave no time for a part', async (t) => {
  const { own, begun, pass, begin } = warmUp(t);
  await begin();
  for (let task = 0; task < 5; task++) {
    await pass(PAUSE_MS - 1);
    await own.hold();
    own.goOn();
  }
  assert.equal(begun.length, 1);
});

for (const failing of [0, 1])
  test(`part ${failing} fails: that is told once, and ends the warm-up`, async (t) => {
    const { own, begun, failures, pass, begin } = warmUp(t);
    let ready = Promise.resolve();
    if (failing === 0) ready = own.begin();
    else await begin();
    await pass(PAUSE_MS);
    begun[failing].fail(new EspalierError('out_of_memory', 'no room'));
    await ready;
    await pass(PAUSE_MS);
    await own.hold();
    own.goOn();
    await pass(PAUSE_MS);
    assert.equal(begun.length, failing + 1);
    assert.deepEqual(
      failures.map(({ code, message }) => [code, message]),
      [['out_of_memory', 'no room']],
    );
  });

test('one that is closed ends the part that computes and tells nothing', async (t) => {
  const { own, begun, failures, pass } = warmUp(t);
  const ready = own.begin();
  own.close();
  await ready;
  await pass(PAUSE_MS);
  assert.equal(begun.length, 1);
  assert.equal(begun[0].signal.aborted, true);
  assert.deepEqual(failures, []);
});
