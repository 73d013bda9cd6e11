// The student of a tuning run: masks, the scales of the sub-layers that are already solved, and patches.
import { createHash } from 'node:crypto';
import type { Masks } from '../../pruning/masks.ts';
import { keptScales, stepOf, subLayerOf } from '../../pruning/sub-layers.ts';
import { masksKey } from '../model/model-cache.ts';
import type { PatchName } from '../model/student.ts';

// Masks of a task never change, and its refits ask for this again and again.
const unscaled = new WeakMap<Masks, Masks>();

/** The same masks with all scales 1: these are the weights that the worker keeps for the whole tuning run. The masks themselves where
 * they have no others. */
export function withoutScales(masks: Masks): Masks {
  let found = unscaled.get(masks);
  if (found === undefined) {
    const isPlain = [masks.headScales, masks.neuronScales].every((scales) => scales.every((scale) => scale === 1));
    found = isPlain
      ? masks
      : {
          ...masks,
          headScales: new Float32Array(masks.headScales.length).fill(1),
          neuronScales: new Float32Array(masks.neuronScales.length).fill(1),
        };
    unscaled.set(masks, found);
  }
  return found;
}

/** Content of the patch of a sub-layer's input projections, on which its features depend; null: they are the model's own. */
export function inputPatch(patches: readonly PatchName[], step: number): string | null {
  const own = patches.find(({ layer, subLayer, part }) => part === 'input' && stepOf(layer, subLayer) === step);
  return own?.name ?? null;
}

/** Name of everything that the hidden states before sub-layer `step` depend on: masks, and the scales and patches before it. */
export function prefixKey(masks: Masks, step: number, patches: readonly PatchName[] = []): string {
  const key = masksKey(withoutScales(masks) === masks ? masks : scaledBefore(masks, step));
  const before = patches
    .map(({ layer, subLayer, part, name }) => ({ at: stepOf(layer, subLayer), part, name }))
    .filter(({ at }) => at < step)
    .sort((a, b) => a.at - b.at || Number(a.part === 'output') - Number(b.part === 'output'));
  if (before.length === 0) return key;
  return createHash('sha256')
    .update([key, ...before.map(({ at, part, name }) => `${at}${part}:${name}`)].join())
    .digest('hex');
}

/** The masks with the scales before a sub-layer alone. */
function scaledBefore(masks: Masks, step: number): Masks {
  const { layer, subLayer } = subLayerOf(step);
  const heads = new Float32Array(masks.headScales.length).fill(1);
  const neurons = new Float32Array(masks.neuronScales.length).fill(1);
  heads.set(masks.headScales.subarray(0, (layer + (subLayer === 'ffn' ? 1 : 0)) * masks.heads));
  neurons.set(masks.neuronScales.subarray(0, layer * masks.neurons));
  return { ...masks, headScales: heads, neuronScales: neurons };
}

/** Scale of each feature of a sub-layer, [kept · size], a head's scale once for each of its `headSize` features; null
 * where all are 1. */
export function featureScales(masks: Masks, step: number, headSize: number): Float32Array | null {
  const place = subLayerOf(step);
  const scales = keptScales(masks, place, place.subLayer === 'ffn' ? 1 : headSize);
  return scales.every((scale) => scale === 1) ? null : scales;
}
