// Patches: their blob's tensors, what is refused, and the rows that are left when masks keep fewer.
import assert from 'node:assert/strict';
import test from 'node:test';
import { denseMasks } from '../../../pruning/masks.ts';
import { keptRows, type Patch, patchFromTensors, patchToTensors } from '../../../pruning/patch.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

const AT = { layer: 1, subLayer: 'attention', part: 'output' } as const;
const INPUT = { layer: 1, subLayer: 'attention', part: 'input' } as const;
const SIZES = { variables: 4, size: 2, hiddenSize: 3 };

function patch(): Patch {
  return {
    ...AT,
    kept: Int32Array.of(0, 2, 3),
    weight: Float32Array.from({ length: 18 }, (_, i) => i),
    bias: Float32Array.of(7, 8, 9),
  };
}

/** Queries, keys and values of two heads with two features each. */
function inputPatch(): Patch {
  return {
    ...INPUT,
    kept: Int32Array.of(1, 3),
    weight: Float32Array.from({ length: 36 }, (_, i) => i),
    bias: Float32Array.from({ length: 12 }, (_, i) => -i),
  };
}

function tensorsOf(own: Patch): Map<string, NamedTensor> {
  return new Map(patchToTensors(own).map((tensor) => [tensor.name, tensor]));
}

test('a patch comes back from its tensors', () => {
  assert.deepEqual(patchFromTensors(tensorsOf(patch()), AT, SIZES), patch());
  const tensors = tensorsOf(inputPatch());
  assert.deepEqual(tensors.get('weight')!.shape, [12, 3]);
  assert.deepEqual(patchFromTensors(tensors, INPUT, SIZES), inputPatch());
  const ffn = { ...INPUT, subLayer: 'ffn' } as const;
  const neurons = { ...ffn, kept: Int32Array.of(0, 9), weight: new Float32Array(6), bias: new Float32Array(2) };
  assert.deepEqual(patchFromTensors(tensorsOf(neurons), ffn, { variables: 10, size: 1, hiddenSize: 3 }), neurons);
});

test('a patch of another form is refused', () => {
  const wrong: Record<string, Partial<Patch>> = {
    'a variable twice': { kept: Int32Array.of(0, 2, 2) },
    'out of order': { kept: Int32Array.of(2, 0, 3) },
    'beyond the layer': { kept: Int32Array.of(0, 2, 4) },
    'below 0': { kept: Int32Array.of(-1, 2, 3) },
    'rows missing': { weight: new Float32Array(12) },
    'another width': { bias: new Float32Array(2), weight: new Float32Array(12) },
  };
  for (const [name, part] of Object.entries(wrong))
    assert.throws(() => patchFromTensors(tensorsOf({ ...patch(), ...part }), AT, SIZES), { code: 'protocol' }, name);
  assert.throws(() => patchFromTensors(tensorsOf(patch()), INPUT, SIZES), {
    code: 'protocol',
    message: /^patch of layer 1 attention input: got tensors of another form, expected kept, weight \[kept \* 6, 3\]/,
  });
  assert.throws(() => patchFromTensors(tensorsOf(inputPatch()), AT, SIZES), { code: 'protocol' });
  const missing = tensorsOf(patch());
  missing.delete('kept');
  assert.throws(() => patchFromTensors(missing, AT, SIZES), { code: 'protocol' });
  const infinite = { ...patch(), bias: Float32Array.of(0, Number.POSITIVE_INFINITY, 0) };
  assert.throws(() => patchFromTensors(tensorsOf(infinite), AT, SIZES), { code: 'not_finite' });
});

test('masks that keep fewer select rows; one that keeps another variable is refused', () => {
  const masks = denseMasks(2, 4, 5);
  masks.headMask.set([1, 0, 0, 1], 4);
  assert.deepEqual([...keptRows(patch(), masks)], [0, 1, 4, 5]);
  masks.headMask.set([0, 0, 0, 0], 4);
  assert.deepEqual([...keptRows(patch(), masks)], []);
  masks.headMask.set([1, 1, 0, 0], 4);
  assert.throws(() => keptRows(patch(), masks), { code: 'protocol', message: /keep 1, expected one of the 3/ });
  // Of queries, keys and values.
  masks.headMask.set([0, 0, 0, 1], 4);
  assert.deepEqual([...keptRows(inputPatch(), masks)], [2, 3, 6, 7, 10, 11]);
});
