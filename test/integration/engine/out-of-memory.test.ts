// Memory that runs out in a task: what was kept goes first, and the answer is the same; only then is the task given up.
import assert from 'node:assert/strict';
import test from 'node:test';
import { exhaust } from '../../support/exhausted-engine.ts';
import { Desk } from './request-desk.ts';
import { assertSameBits } from './results.ts';

test('a task that runs out of memory once is computed again without what was kept: the same bits', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const requests = [desk.fisher(), desk.evaluate(), desk.normalEquations(), desk.solve()];
  const expected = [];
  for (const request of requests) expected.push(await desk.run(request));
  for (const [i, request] of requests.entries()) {
    const memory = exhaust(t, 1);
    assertSameBits(await desk.run(request), expected[i], request.taskId);
    assert.equal(memory.left, 0, 'it did run out');
  }
});

test('one that runs out of memory again is refused with its code, and the next is answered', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const before = await desk.run(desk.normalEquations());
  exhaust(t, 2);
  await assert.rejects(desk.run(desk.normalEquations()), {
    code: 'out_of_memory',
    message: /^MatMul \[.*\]: OOM when allocating/,
  });
  assertSameBits(await desk.run(desk.normalEquations()), before, 'afterwards');
});
