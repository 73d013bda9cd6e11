// Sums of a refit: their tensors, additions, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import {
  addRefitSumsTo,
  type RefitSums,
  refitSumsFromTensors,
  refitSumsToTensors,
} from '../../../pruning/refit-equations.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

const random = randomStream(2, 'refit-equations');
const WIDTH = 3;

function sumsOf(features: number, hiddenSize = WIDTH): RefitSums {
  const draw = (length: number) => new Float64Array(length).map(() => random.uniform());
  const size = features + 1;
  return {
    ...{ features, hiddenSize, gram: draw(size * size), right: draw(size * hiddenSize) },
    ...{ targetSquares: random.uniform(), positions: 7 },
  };
}

const map = (list: readonly NamedTensor[]) => new Map(list.map((tensor) => [tensor.name, tensor]));

test('sums are added element by element into the first; those of another form are refused', () => {
  for (const features of [0, 4]) {
    const [a, b] = [sumsOf(features), sumsOf(features)];
    const expected = [...a.gram, ...a.right, a.targetSquares, a.positions];
    [...b.gram, ...b.right, b.targetSquares, b.positions].forEach((value, at) => {
      expected[at] += value;
    });
    const added = addRefitSumsTo(a, b);
    assert.equal(added.gram, a.gram);
    assert.deepEqual([...added.gram, ...added.right, added.targetSquares, added.positions], expected);
  }
  const a = sumsOf(4);
  for (const other of [sumsOf(3), sumsOf(4, 2), { ...sumsOf(4), gram: new Float64Array(24) }])
    assert.throws(() => addRefitSumsTo(a, other), {
      code: 'shape_mismatch',
      message: /expected 4 features, width 3, 25 elements/,
    });
});

test('tensors of the sums come back unchanged, whole or without a part of the lower triangle', () => {
  for (const sums of [sumsOf(4), sumsOf(0), { ...sumsOf(2), gram: new Float64Array(6).fill(1) }])
    assert.deepEqual(refitSumsFromTensors(map(refitSumsToTensors(sums)), WIDTH), sums);
});

test('tensors that are missing, misshapen or not finite are refused', () => {
  const tensors = refitSumsToTensors(sumsOf(4));
  for (const tensor of tensors) {
    const change = (fields: Partial<NamedTensor>) =>
      map(tensors.map((other) => (other === tensor ? { ...other, ...fields } : other)));
    const refused = (changed: Map<string, NamedTensor>, code: string, text: string) =>
      assert.throws(() => refitSumsFromTensors(changed, WIDTH), { code, message: new RegExp(text) });
    refused(map(tensors.filter((other) => other !== tensor)), 'protocol', tensor.name);
    refused(change({ shape: [7, 7, 7] }), 'protocol', tensor.name);
    refused(change({ dtype: 'F32', data: new Float32Array(tensor.data.length) }), 'protocol', tensor.name);
    const broken = (tensor.data as Float64Array).with(0, Number.NaN);
    refused(change({ data: broken }), 'not_finite', 'NaN');
    const short = (tensor.data as Float64Array).slice(0, tensor.name === 'gram' ? 14 : tensor.data.length - 1);
    refused(change({ shape: [short.length], data: short }), 'protocol', tensor.name);
  }
  const changed = (name: string, data: Float64Array) =>
    map(tensors.map((other) => (other.name === name ? { ...other, shape: [data.length], data } : other)));
  for (const count of [-1, 0.5])
    assert.throws(() => refitSumsFromTensors(changed('positions', Float64Array.of(count)), WIDTH), {
      code: 'protocol',
      message: /positions: got .*expected a whole number/,
    });
  assert.throws(() => refitSumsFromTensors(changed('right', new Float64Array(0)), WIDTH), { code: 'protocol' });
});
