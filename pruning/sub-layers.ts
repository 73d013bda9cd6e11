// Sub-layers by their place in a model, and what masks keep of one.
import { keptIndices, type Masks, type SubLayer } from './masks.ts';

/** One sub-layer of a model. */
export interface SubLayerPlace {
  readonly layer: number;
  readonly subLayer: SubLayer;
}

/** A sub-layer with the heads or neurons that are kept of it, ascending. */
export interface KeptSubLayer extends SubLayerPlace {
  readonly kept: Int32Array;
}

/** Place of a sub-layer in the order in which they run: 2·layer, +1 for the FFN. */
export function stepOf(layer: number, subLayer: SubLayer): number {
  return 2 * layer + (subLayer === 'ffn' ? 1 : 0);
}

/** Inverse of `stepOf`. */
export function subLayerOf(step: number): { layer: number; subLayer: SubLayer } {
  return { layer: Math.floor(step / 2), subLayer: step % 2 === 0 ? 'attention' : 'ffn' };
}

/** Heads or neurons that the masks keep of a sub-layer, ascending. */
export function keptVariables(masks: Masks, { layer, subLayer }: SubLayerPlace): Int32Array {
  return subLayer === 'ffn'
    ? keptIndices(masks.neuronMask, layer, masks.neurons)
    : keptIndices(masks.headMask, layer, masks.heads);
}

/** All sub-layers in the order in which they run, with what the masks keep of each. */
export function keptSubLayers(masks: Masks): KeptSubLayer[] {
  return Array.from({ length: 2 * masks.layers }, (_, step) => {
    const place = subLayerOf(step);
    return { ...place, kept: keptVariables(masks, place) };
  });
}

/** Scales of the kept features of a sub-layer, [kept · size]: a head's or neuron's once for each of its features.
 * @param size features of one: head size, or 1 of a neuron. */
export function keptScales(masks: Masks, place: SubLayerPlace, size: number): Float32Array {
  const [scales, perLayer] =
    place.subLayer === 'ffn' ? [masks.neuronScales, masks.neurons] : [masks.headScales, masks.heads];
  const kept = keptVariables(masks, place);
  const repeated = new Float32Array(kept.length * size);
  // A plain loop: `fill` for each neuron takes ten times as long.
  let at = 0;
  for (const index of kept) {
    const scale = scales[place.layer * perLayer + index];
    for (const end = at + size; at < end; at++) repeated[at] = scale;
  }
  return repeated;
}

/** The masks with the scales of one sub-layer, in the order of what is kept of it. */
export function withScales(masks: Masks, { layer, subLayer, kept }: KeptSubLayer, scales: ArrayLike<number>): Masks {
  const ffn = subLayer === 'ffn';
  const all = (ffn ? masks.neuronScales : masks.headScales).slice();
  const perLayer = ffn ? masks.neurons : masks.heads;
  kept.forEach((index, i) => {
    all[layer * perLayer + index] = scales[i];
  });
  return ffn ? { ...masks, neuronScales: all } : { ...masks, headScales: all };
}
