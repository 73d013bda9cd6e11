// Rearrangement: which variables of a layer are pruned, their number being fixed, once the cross terms of the Fisher
// information count. Kwon et al. 2022, section 4.2. Scores are float64; which of them need not be computed is
// member-bounds.ts.
import { EspalierError } from '../shared/errors.ts';
import { descending } from './descending.ts';
import {
  type FisherInformation,
  type FisherLayers,
  type LayerFisher,
  layersOfFisher,
  type MaskSizes,
  packedLength,
  selectedFisher,
} from './fisher.ts';
import { type FisherBlock, GramBlock, RowsBlock } from './fisher-block.ts';
import { denseMasks, type Masks } from './masks.ts';
import { MemberBounds } from './member-bounds.ts';
import type { OpenVariables } from './search-remaining.ts';

/** Rearranges every layer's heads and neurons; the number kept in each layer stays. Scales are reset to 1.
 * @param open what may be exchanged; the others stay as the masks have them. Left out: all.
 * @throws EspalierError "shape_mismatch" when the Fisher information has other sizes than the masks. */
export function rearrangeMasks(fisher: FisherInformation, masks: Masks, open?: OpenVariables): Masks {
  return rearrangeLayers(layersOfFisher(fisher, masks), masks, open);
}

/** The same, asking for one sub-layer at a time. */
export function rearrangeLayers(fisher: FisherLayers, masks: Masks, open?: OpenVariables): Masks {
  const layers = Array.from({ length: masks.layers }, (_, layer) =>
    rearrangeLayer(fisher, layer, layerMasks(masks, masks, layer), open && layerMasks(masks, open, layer)),
  );
  return joinedLayers(masks, layers);
}

/** Of one layer: [heads], [neurons]. */
export interface LayerMasks {
  readonly heads: Uint8Array;
  readonly neurons: Uint8Array;
}

/** The part of a layer. */
export function layerMasks(
  { heads, neurons }: MaskSizes,
  { headMask, neuronMask }: OpenVariables,
  layer: number,
): LayerMasks {
  const part = (mask: Uint8Array, size: number) => mask.slice(layer * size, (layer + 1) * size);
  return { heads: part(headMask, heads), neurons: part(neuronMask, neurons) };
}

/** One layer of `rearrangeMasks`; layers do not depend on each other. @param masks, open of the layer. */
export function rearrangeLayer(
  fisher: FisherLayers,
  layer: number,
  masks: LayerMasks,
  open: LayerMasks | undefined,
): LayerMasks {
  return {
    heads: rearrangeSubLayer(fisher.of(layer, 'attention'), masks.heads, open?.heads),
    neurons: rearrangeSubLayer(fisher.of(layer, 'ffn'), masks.neurons, open?.neurons),
  };
}

/** Masks of all layers, in their order; scales are 1. */
export function joinedLayers({ layers, heads, neurons }: MaskSizes, found: readonly LayerMasks[]): Masks {
  const masks = denseMasks(layers, heads, neurons);
  found.forEach((layer, at) => {
    masks.headMask.set(layer.heads, at * heads);
    masks.neuronMask.set(layer.neurons, at * neurons);
  });
  return masks;
}

function rearrangeSubLayer(fisher: LayerFisher, mask: Uint8Array, open: Uint8Array | undefined): Uint8Array {
  if (open === undefined || !open.includes(0)) return rearrangeWhole(fisher, mask.length, prunedOf(mask));
  const places = indicesOf(open);
  const own = selectedFisher(fisher, mask.length, places);
  const found = rearrangeWhole(own, places.length, prunedOf(mask.filter((_, i) => open[i] === 1)));
  const rearranged = mask.slice();
  for (const [at, place] of places.entries()) rearranged[place] = found[at];
  return rearranged;
}

function prunedOf(mask: Uint8Array): number {
  return mask.reduce((sum, bit) => sum + 1 - bit, 0);
}

function indicesOf(mask: Uint8Array): Int32Array {
  return Int32Array.from(mask.keys()).filter((i) => mask[i] === 1);
}

function rearrangeWhole(fisher: LayerFisher, size: number, pruned: number): Uint8Array {
  if (fisher.form === 'gram') return rearrangeGram(fisher.gram, size, pruned);
  return rearrangeRows(fisher.gradients, size, fisher.rows, pruned);
}

/** The kept variables of one layer from its gradients.
 * @param gradients [variables, rows], as `layerGradients` gives them.
 * @param pruned number of variables to prune, 0 … variables.
 * @returns mask [variables], 1 kept, 0 pruned. */
export function rearrangeRows(gradients: Float32Array, variables: number, rows: number, pruned: number): Uint8Array {
  if (gradients.length !== variables * rows)
    throw new EspalierError('shape_mismatch', `gradients: got ${gradients.length}, expected [${variables},${rows}]`);
  return rearrange(new RowsBlock(gradients, variables, rows), pruned);
}

/** The kept variables of one layer from its packed F = GᵀG (upper triangle by rows, n(n+1)/2). See `rearrangeRows`. */
export function rearrangeGram(gram: Float64Array, variables: number, pruned: number): Uint8Array {
  if (gram?.length !== packedLength(variables))
    throw new EspalierError(
      'shape_mismatch',
      `gram: got ${gram?.length} elements, expected ${packedLength(variables)} for ${variables} variables`,
    );
  return rearrange(new GramBlock(gram, variables), pruned);
}

/** Start with P = the least important. For each other variable j by rising importance: add j to P, then take out the
 * member (j too may go) whose removal leaves the smallest |Σ_{i∈P} G[:,i]|². Removing i changes it by F_ii − 2u_i, with
 * u = F·1_P; among equal scores the lowest index goes. What has left P does not come back. */
function rearrange(block: FisherBlock, pruned: number): Uint8Array {
  const { size, diagonal } = block;
  if (!(Number.isInteger(pruned) && pruned >= 0 && pruned <= size))
    throw new EspalierError('internal', `pruned: got ${pruned}, expected a count from 0 to ${size}`);
  const mask = new Uint8Array(size).fill(1);
  if (pruned === 0) return mask;
  const ascending = descending(diagonal).reverse();
  const bounds = new MemberBounds(block, ascending.subarray(0, pruned));
  for (const candidate of ascending.subarray(pruned)) bounds.admit(candidate);
  for (const member of bounds.members()) mask[member] = 0;
  return mask;
}
