// Rearrangement: which variables of a layer are pruned, their number being fixed, once the cross terms of the Fisher
// information count. Kwon et al. 2022, section 4.2. Scores are float64; which of them need not be computed is
// member-bounds.ts.
import { EspalierError } from '../shared/errors.ts';
import { descending } from './descending.ts';
import { type FisherInformation, type FisherLayers, layersOfFisher, packedLength } from './fisher.ts';
import { type FisherBlock, GramBlock, RowsBlock } from './fisher-block.ts';
import type { Masks } from './masks.ts';
import { MemberBounds } from './member-bounds.ts';

/** Rearranges every layer's heads and neurons; the number kept in each layer stays. Scales are reset to 1.
 * @throws EspalierError "shape_mismatch" when the Fisher information has other sizes than the masks. */
export function rearrangeMasks(fisher: FisherInformation, masks: Masks): Masks {
  return rearrangeLayers(layersOfFisher(fisher, masks), masks);
}

/** The same, asking for one sub-layer at a time. */
export function rearrangeLayers(fisher: FisherLayers, masks: Masks): Masks {
  const { layers, heads, neurons } = masks;
  const layerMask = (layer: number, kind: 'attention' | 'ffn'): Uint8Array => {
    const size = kind === 'attention' ? heads : neurons;
    const before = kind === 'attention' ? masks.headMask : masks.neuronMask;
    const kept = before.subarray(layer * size, (layer + 1) * size).reduce((sum, bit) => sum + bit, 0);
    const found = fisher.of(layer, kind);
    if (found.form === 'gram') return rearrangeGram(found.gram, size, size - kept);
    return rearrangeRows(found.gradients, size, found.rows, size - kept);
  };
  const headMask = new Uint8Array(layers * heads);
  const neuronMask = new Uint8Array(layers * neurons);
  for (let layer = 0; layer < layers; layer++) {
    headMask.set(layerMask(layer, 'attention'), layer * heads);
    neuronMask.set(layerMask(layer, 'ffn'), layer * neurons);
  }
  return {
    layers,
    heads,
    neurons,
    headMask,
    neuronMask,
    headScales: new Float32Array(layers * heads).fill(1),
    neuronScales: new Float32Array(layers * neurons).fill(1),
  };
}

/** The kept variables of one layer from its gradients.
 * @param gradients float64 [variables, rows], as `layerGradients` gives them.
 * @param pruned number of variables to prune, 0 … variables.
 * @returns mask [variables], 1 kept, 0 pruned. */
export function rearrangeRows(gradients: Float64Array, variables: number, rows: number, pruned: number): Uint8Array {
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
