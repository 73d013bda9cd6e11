// Targets that do not fit a task are refused. The losses themselves are test/integration/engine/losses.test.ts.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TaskKind } from '../../../checkpoint/model-config.ts';
import { checkTarget } from '../../../worker/model/losses.ts';

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
