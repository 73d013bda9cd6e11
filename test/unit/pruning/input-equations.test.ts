// Sums of input projections: their tensors, additions, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addInputSumsTo,
  type InputSums,
  inputSumsFromTensors,
  inputSumsToTensors,
} from '../../../pruning/input-equations.ts';
import { randomStream } from '../../../pruning/random.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

const random = randomStream(2, 'input-equations');
const WIDTH = 2;
const ALL = (2 * WIDTH + 1) ** 2;

function sumsOf(length = ALL, hiddenSize = WIDTH): InputSums {
  return { hiddenSize, gram: new Float64Array(length).map(() => random.uniform()), positions: 7 };
}

const map = (list: readonly NamedTensor[]) => new Map(list.map((tensor) => [tensor.name, tensor]));

test('sums are added element by element into the first; those of another form are refused', () => {
  const [a, b] = [sumsOf(), sumsOf()];
  const expected = a.gram.map((value, at) => value + b.gram[at]);
  const added = addInputSumsTo(a, b);
  assert.equal(added.gram, a.gram);
  assert.deepEqual(added, { hiddenSize: WIDTH, gram: expected, positions: 14 });
  for (const other of [sumsOf(ALL - 1), sumsOf(ALL, 3)])
    assert.throws(() => addInputSumsTo(a, other), {
      code: 'shape_mismatch',
      message: /expected 2, 25$/,
    });
});

test('tensors of the sums come back unchanged, whole or without a part of the lower triangle', () => {
  for (const sums of [sumsOf(), sumsOf(15)])
    assert.deepEqual(inputSumsFromTensors(map(inputSumsToTensors(sums)), WIDTH), sums);
});

test('tensors that are missing, misshapen or not finite are refused', () => {
  const refused = (sums: InputSums, code: string, message: RegExp) =>
    assert.throws(() => inputSumsFromTensors(map(inputSumsToTensors(sums)), WIDTH), { code, message });
  refused(sumsOf(14), 'protocol', /^gram: got F64 \[14\] of 14 elements, expected F64 \[15 to 25\]$/);
  refused(sumsOf(26), 'protocol', /^gram: got F64 \[26\]/);
  refused({ ...sumsOf(), gram: sumsOf().gram.with(3, Number.NaN) }, 'not_finite', /gram 3: got NaN/);
  for (const positions of [-1, 0.5])
    refused({ ...sumsOf(), positions }, 'protocol', /^positions: got .*, expected a whole number$/);
  const [gram, positions] = inputSumsToTensors(sumsOf());
  assert.throws(() => inputSumsFromTensors(map([gram]), WIDTH), {
    code: 'protocol',
    message: /"positions" is missing/,
  });
  assert.throws(() => inputSumsFromTensors(map([positions]), WIDTH), {
    code: 'protocol',
    message: /"gram" is missing/,
  });
});
