// Masks as they travel and as they are stored.
import assert from 'node:assert/strict';
import test from 'node:test';
import { maskSet, masksFromTensors, masksToTensors } from '../../../coordinator/job/mask-set.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';

const MASKS: Masks = {
  ...denseMasks(2, 3, 4),
  headMask: Uint8Array.of(1, 0, 1, 0, 0, 1),
  neuronMask: Uint8Array.of(0, 1, 1, 0, 0, 0, 0, 1),
  headScales: Float32Array.of(1, 1, -0.25, 1, 1, 33.5),
  neuronScales: Float32Array.of(1, 0.1, 2, 1, 1, 1, 1, 1e-20),
};

test('stored and read again: the same masks and the same bits of scales', () => {
  const { tensors } = decodeSafetensors(encodeSafetensors(masksToTensors(MASKS)), 'masks');
  assert.deepEqual(masksFromTensors(tensors), MASKS);
});

test('one tensor that is missing is named', () => {
  const tensors = new Map(masksToTensors(MASKS).map((tensor) => [tensor.name, tensor]));
  tensors.delete('neuron_scales');
  assert.throws(() => masksFromTensors(tensors), {
    code: 'internal',
    message: 'stored masks: got no neuron_scales, expected one',
  });
});

test('in a request: a byte a mask, four little-endian bytes a scale, also from the middle of a buffer', () => {
  const whole = Float32Array.of(7, ...MASKS.headScales, 7);
  const set = maskSet({ ...MASKS, headScales: whole.subarray(1, 7) });
  assert.deepEqual([...(set.headMask as Buffer)], [...MASKS.headMask]);
  assert.deepEqual([...(set.neuronMask as Buffer)], [...MASKS.neuronMask]);
  const scales = set.headScales as Buffer;
  assert.equal(scales.length, 4 * 6);
  assert.deepEqual(
    Array.from({ length: 6 }, (_, i) => scales.readFloatLE(4 * i)),
    [...MASKS.headScales],
  );
});

test('in a request, scales of 1 at the end are left out', () => {
  const dense = maskSet(denseMasks(2, 3, 4));
  assert.equal(dense.headMask?.length, 6);
  assert.equal(dense.headScales?.length, 0);
  const tuned = maskSet({ ...MASKS, neuronScales: Float32Array.of(1, 0.1, 2, 1, 1, 1, 1, 1) });
  assert.equal(tuned.neuronScales?.length, 4 * 3);
});
