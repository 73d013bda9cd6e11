// Patches: their blob's tensors, what is refused, and the rows that are left when masks keep fewer.
import assert from 'node:assert/strict';
import test from 'node:test';
import { denseMasks } from '../../../pruning/masks.ts';
import { keptRows, type Patch, patchFromTensors, patchToTensors } from '../../../pruning/patch.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

const AT = { layer: 1, subLayer: 'attention' } as const;
const SIZES = { variables: 4, size: 2, hiddenSize: 3 };

function patch(): Patch {
  return {
    ...AT,
    kept: Int32Array.of(0, 2, 3),
    weight: Float32Array.from({ length: 18 }, (_, i) => i),
    bias: Float32Array.of(7, 8, 9),
  };
}

function tensorsOf(own: Patch): Map<string, NamedTensor> {
  return new Map(patchToTensors(own).map((tensor) => [tensor.name, tensor]));
}

test('a patch comes back from its tensors', () => {
  assert.deepEqual(patchFromTensors(tensorsOf(patch()), AT, SIZES), patch());
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
});
