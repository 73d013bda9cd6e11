import assert from 'node:assert/strict';
import test from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { MOST_ROUNDS, timeInTurn } from '../../../worker/runtimes/time-in-turn.ts';

/** Passes that take these milliseconds of a clock that only they move, and the order in which they ran. */
function fakePasses(...milliseconds: number[]) {
  let time = 1000;
  const order: number[] = [];
  const passes = milliseconds.map((own, index) => async () => {
    order.push(index);
    time += own;
  });
  return { passes, order, options: { repeats: 3, leastSeconds: 0, now: () => time, checkCancelled: () => {} } };
}

test('every pass runs once a round, each is the first in its turn, and the first rounds are not counted', async () => {
  const { passes, order, options } = fakePasses(10, 250, 4);
  const seconds = await timeInTurn(passes, options);
  assert.deepEqual(
    seconds.map((own) => [...own]),
    [
      [0.01, 0.01, 0.01],
      [0.25, 0.25, 0.25],
      [0.004, 0.004, 0.004],
    ],
  );
  assert.deepEqual(order, [0, 1, 2, 0, 1, 2, 0, 1, 2, 1, 2, 0, 2, 0, 1]);
});

test('a machine that becomes slow slows down all of them', async () => {
  let time = 0;
  let pace = 1;
  const passes = [10, 20].map((own, index) => async () => {
    time += own * pace;
    if (index === 1) pace += 1;
  });
  const [first, second] = await timeInTurn(passes, {
    ...{ repeats: 20, leastSeconds: 0, now: () => time, checkCancelled: () => {} },
  });
  const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0);
  // 2 but for the rounds in which the pace changed between the two.
  assert.ok(Math.abs(sum(second) / sum(first) - 2) < 0.1, `${sum(second) / sum(first)}`);
});

test('rounds go on until they took long enough, or are too many', async () => {
  const short = fakePasses(10, 30);
  const rounds = await timeInTurn(short.passes, { ...short.options, leastSeconds: 0.39 });
  assert.deepEqual(
    rounds.map(({ length }) => length),
    [10, 10],
  );
  const endless = fakePasses(0);
  const most = await timeInTurn(endless.passes, { ...endless.options, leastSeconds: 1 });
  assert.equal(most[0].length, MOST_ROUNDS);
  assert.deepEqual(await timeInTurn([], short.options), []);
});

test('a cancelled task stops before the next pass', async () => {
  const { passes, order, options } = fakePasses(1, 1);
  const checkCancelled = () => {
    if (order.length === 3) throw new EspalierError('cancelled', 'nobody waits');
  };
  await assert.rejects(timeInTurn(passes, { ...options, checkCancelled }), { code: 'cancelled' });
  assert.equal(order.length, 3);
});
