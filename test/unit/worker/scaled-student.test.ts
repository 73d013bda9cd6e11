// The student between two sub-layers: what its hidden states depend on, and what its features are multiplied by.
import assert from 'node:assert/strict';
import test from 'node:test';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { stepOf, subLayerOf } from '../../../pruning/sub-layers.ts';
import { featureScales, prefixKey, withoutScales } from '../../../worker/tuning/scaled-student.ts';

const LAYERS = 3;
const HEADS = 2;
const NEURONS = 4;
const STEPS = 2 * LAYERS;

const MASKS: Masks = {
  ...denseMasks(LAYERS, HEADS, NEURONS),
  headMask: Uint8Array.of(1, 0, 1, 1, 0, 0),
  neuronMask: Uint8Array.of(0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1),
};

/** The masks with one scale of a sub-layer changed. */
function scaled(step: number, index: number, scale: number): Masks {
  const { layer, subLayer } = subLayerOf(step);
  const headScales = MASKS.headScales.slice();
  const neuronScales = MASKS.neuronScales.slice();
  if (subLayer === 'ffn') neuronScales[layer * NEURONS + index] = scale;
  else headScales[layer * HEADS + index] = scale;
  return { ...MASKS, headScales, neuronScales };
}

test('steps count sub-layers through', () => {
  for (let step = 0; step < STEPS; step++) {
    const { layer, subLayer } = subLayerOf(step);
    assert.equal(stepOf(layer, subLayer), step);
  }
  assert.deepEqual(subLayerOf(3), { layer: 1, subLayer: 'ffn' });
});

test('the key before a step changes with every scale before it, and with none of it or after it', () => {
  for (let changed = 0; changed < STEPS; changed++) {
    const count = subLayerOf(changed).subLayer === 'ffn' ? NEURONS : HEADS;
    for (let index = 0; index < count; index++)
      for (let step = 0; step < STEPS; step++) {
        const isSame = prefixKey(scaled(changed, index, 0.5), step) === prefixKey(MASKS, step);
        assert.equal(isSame, changed >= step, `scale ${index} of step ${changed}, key before step ${step}`);
      }
  }
});

test('the key before a step changes with every patch before it, in any order, and with none of it or after it', () => {
  const patches = Array.from({ length: 2 * STEPS }, (_, i) => {
    const part = i % 2 === 0 ? ('input' as const) : ('output' as const);
    return { ...subLayerOf(Math.floor(i / 2)), part, name: `digest ${i}` };
  });
  for (const [at, { layer, subLayer }] of patches.entries())
    for (let step = 0; step < STEPS; step++) {
      const changed = stepOf(layer, subLayer);
      const own = prefixKey(MASKS, step, patches);
      assert.equal(prefixKey(MASKS, step, patches.toReversed()), own);
      const other = prefixKey(MASKS, step, patches.with(at, { ...patches[at], name: 'another' }));
      assert.equal(other === own, changed >= step, `patch ${at}, key before step ${step}`);
      const less = prefixKey(MASKS, step, patches.toSpliced(at, 1));
      assert.equal(less === own, changed >= step, `without patch ${at}, key before step ${step}`);
    }
  assert.equal(prefixKey(MASKS, 0, patches), prefixKey(MASKS, 0));
  // A sub-layer's inputs and its output are not taken for each other.
  const [input, output] = patches;
  const swapped = [
    { ...input, name: output.name },
    { ...output, name: input.name },
  ];
  assert.notEqual(prefixKey(MASKS, 1, swapped), prefixKey(MASKS, 1, [input, output]));
});

test('the key changes with every mask, also with later ones: states of another student are never taken', () => {
  const others: Masks[] = [];
  for (let i = 0; i < LAYERS * HEADS; i++)
    others.push({ ...MASKS, headMask: MASKS.headMask.with(i, 1 - MASKS.headMask[i]) });
  for (let i = 0; i < LAYERS * NEURONS; i++)
    others.push({ ...MASKS, neuronMask: MASKS.neuronMask.with(i, 1 - MASKS.neuronMask[i]) });
  const keys = new Set([MASKS, ...others].map((masks) => prefixKey(masks, 0)));
  assert.equal(keys.size, 1 + LAYERS * (HEADS + NEURONS));
});

test('features are multiplied by the scales of what is kept: a head by its own for each of its features', () => {
  const headSize = 3;
  // Layer 1 keeps both heads, layer 0 the first alone.
  assert.deepEqual(featureScales(scaled(2, 1, 0.5), 2, headSize), Float32Array.of(1, 1, 1, 0.5, 0.5, 0.5));
  assert.deepEqual(featureScales(scaled(0, 0, 2), 0, headSize), Float32Array.of(2, 2, 2));
  // Layer 0 keeps neurons 1, 2 and 3.
  assert.deepEqual(featureScales(scaled(1, 2, -1), 1, headSize), Float32Array.of(1, -1, 1));
});

test('nothing is multiplied where all kept scales are 1, whatever pruned ones and other sub-layers have', () => {
  assert.equal(featureScales(MASKS, 1, 3), null);
  assert.equal(featureScales(scaled(0, 1, 0.5), 0, 3), null);
  assert.equal(featureScales(scaled(1, 1, 0.5), 3, 3), null);
  assert.equal(featureScales(MASKS, 4, 3), null);
});

test('without scales: the same masks, all scales 1, the given ones untouched', () => {
  const masks = scaled(3, 1, 0.5);
  const plain = withoutScales(masks);
  assert.deepEqual(plain, MASKS);
  assert.equal(masks.neuronScales[NEURONS + 1], 0.5);
});
