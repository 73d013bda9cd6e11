// Losses of single samples: values worked out by hand, gradients against central differences, targets refused.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TaskKind } from '../../../checkpoint/model-config.ts';
import { checkTarget, sampleLoss } from '../../../worker/model/losses.ts';

interface Case {
  readonly task: TaskKind;
  readonly outputs: number;
  readonly logits: readonly number[];
  readonly target: readonly number[];
}

const CASES: readonly Case[] = [
  { task: 'single-label-classification', outputs: 3, logits: [0.3, -1.2, 2.5], target: [1] },
  { task: 'multi-label-classification', outputs: 3, logits: [0.3, -1.2, 2.5], target: [1, 0, 0] },
  { task: 'regression', outputs: 2, logits: [0.3, -1.2], target: [1.5, -1] },
  { task: 'token-classification', outputs: 2, logits: [1, 2, 0.5, -1, 3, 0.2, 0, 0], target: [-100, 1, 0, -100] },
  { task: 'question-answering', outputs: 2, logits: [1, 2, 0.5, -1, 3, 0.2], target: [0, 2] },
];

for (const { task, outputs, logits, target } of CASES)
  test(`${task}: the gradient is that of the loss`, () => {
    const loss = (z: readonly number[]) => sampleLoss(task, z, Float32Array.from(target), outputs);
    const { gradient } = loss(logits);
    assert.equal(gradient.length, logits.length);
    // Central differences of step h err by about h² and by rounding over h: 1e-5 leaves 1e-10 of each.
    const h = 1e-5;
    for (const i of logits.keys()) {
      const moved = (by: number) => loss(logits.map((z, j) => (j === i ? z + by : z))).loss;
      const slope = (moved(h) - moved(-h)) / (2 * h);
      assert.ok(Math.abs(slope - gradient[i]) < 1e-9, `logit ${i}: got ${gradient[i]}, expected ${slope}`);
    }
  });

function near(got: number, expected: number): void {
  assert.ok(Math.abs(got - expected) <= 1e-12 * Math.max(1, Math.abs(expected)), `got ${got}, expected ${expected}`);
}

const lossOf = (task: TaskKind, logits: number[], target: number[], outputs: number) =>
  sampleLoss(task, logits, Float32Array.from(target), outputs).loss;

test('values by hand', () => {
  near(lossOf('single-label-classification', [0, 0, 0, 0], [2], 4), Math.log(4));
  near(lossOf('single-label-classification', [Math.log(3), 0], [0], 2), Math.log(4 / 3));
  near(lossOf('multi-label-classification', [0, Math.log(3)], [1, 0], 2), (Math.log(2) + Math.log(4)) / 2);
  near(lossOf('regression', [1, 5], [3, 4], 2), 2.5);
  near(lossOf('token-classification', [7, -7, 0, 0, Math.log(3), 0], [-100, 0, 1], 2), (Math.log(2) + Math.log(4)) / 2);
  near(lossOf('question-answering', [0, 0, 0, Math.log(3)], [1, 1], 2), (Math.log(2) + Math.log(4 / 3)) / 2);
});

test('logits so large that their exponentials overflow', () => {
  near(lossOf('single-label-classification', [1000, 0], [0], 2), 0);
  near(lossOf('single-label-classification', [1000, 0], [1], 2), 1000);
  near(lossOf('multi-label-classification', [1000, -1000], [1, 1], 2), 500);
  const { gradient } = sampleLoss('multi-label-classification', [1000, -1000], Float32Array.of(1, 1), 2);
  assert.deepEqual([...gradient], [0, -0.5]);
});

test('tokens none of which counts: no loss and no gradient', () => {
  const { loss, gradient } = sampleLoss('token-classification', [1, 2, 3, 4], Float32Array.of(-100, -100), 2);
  assert.equal(loss, 0);
  assert.deepEqual([...gradient], [0, 0, 0, 0]);
});

test('targets that a task cannot have are refused by name', () => {
  const check = (task: TaskKind, target: number[]) => () =>
    checkTarget({ task, outputs: 2 }, { tokenIds: new Int32Array(3), target: Float32Array.from(target) }, 'sample 4');
  const refused = (message: string) => ({ code: 'protocol', message: `sample 4: ${message}` });
  for (const [task, target] of [
    ['single-label-classification', [1]],
    ['multi-label-classification', [0, 0.5]],
    ['regression', [-7, 1e9]],
    ['token-classification', [-100, 1, 0]],
    ['question-answering', [0, 2]],
  ] as const)
    assert.doesNotThrow(check(task, [...target]));
  assert.throws(check('single-label-classification', []), refused('got a target of 0 numbers, expected 1'));
  assert.throws(check('single-label-classification', [2]), refused('got target 2, expected a class from 0 to 1'));
  assert.throws(check('single-label-classification', [0.5]), refused('got target 0.5, expected a class from 0 to 1'));
  assert.throws(check('multi-label-classification', [0, 2]), refused('got target 2, expected 0 to 1'));
  assert.throws(check('regression', [0, Number.NaN]), refused('got target NaN, expected a finite number'));
  assert.throws(
    check('token-classification', [0, -1, 0]),
    refused('got target -1, expected a class from 0 to 1, or -100'),
  );
  assert.throws(check('question-answering', [0, 3]), refused('got target 3, expected a token from 0 to 2'));
});
