// Answers of workers are checked before they are used.
import assert from 'node:assert/strict';
import test from 'node:test';
import { resultTensor } from '../../../coordinator/job/result-tensor.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

const result = (data: Float32Array | Float64Array) => {
  const dtype = data instanceof Float32Array ? 'F32' : 'F64';
  return new Map<string, NamedTensor>([['rows', { name: 'rows', dtype, shape: [data.length], data }]]);
};

test('a tensor of the expected type and size comes through as it is', () => {
  const data = Float64Array.of(1, -2);
  assert.equal(resultTensor(result(data), 'fisher/0', 'rows', { dtype: 'F64', length: 2 }), data);
});

test('one that is missing, of another type, of another size or not finite is refused', () => {
  const read = (data: Float32Array | Float64Array, name = 'rows') =>
    resultTensor(result(data), 'fisher/3', name, { dtype: 'F32', length: 2 });
  const refused = (message: string) => ({ code: 'protocol', message: `fisher/3: ${message}` });
  assert.throws(() => read(Float32Array.of(1, 2), 'losses'), refused('losses: got nothing, expected F32 of 2'));
  assert.throws(() => read(Float64Array.of(1, 2)), refused('rows: got F64 of 2 elements, expected F32 of 2'));
  assert.throws(() => read(Float32Array.of(1)), refused('rows: got F32 of 1 elements, expected F32 of 2'));
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => read(Float32Array.of(1, bad)), {
      code: 'not_finite',
      message: `fisher/3: rows 1: got ${bad}, expected a finite number`,
    });
});
