// Masks for measuring: every layer keeps the same share, spread evenly, so that what is measured does not depend on what a
// search finds in random weights.
import { denseCosts } from '../../../pruning/cost.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';

/** @param share of the dense encoder's MACs, in (0, 1); the nearest count of heads (one at least), and neurons up to it.
 * @param tokens mean length of a sample, at which MACs are counted.
 * @param from even masks of a larger share, of what is kept; left out: the dense model's. */
export function evenMasks(
  sizes: { layers: number; heads: number; neurons: number; hiddenSize: number; headSize: number },
  share: number,
  tokens: number,
  from: Masks = denseMasks(sizes.layers, sizes.heads, sizes.neurons),
): Masks {
  const { layers, heads, neurons } = sizes;
  const { headCost, neuronCost, totalMacs } = denseCosts(sizes, { ...sizes, tokens });
  const keptHeads = Math.max(1, Math.round(share * heads));
  const left = (share * totalMacs) / layers - keptHeads * headCost;
  const keptNeurons = Math.min(neurons, Math.max(1, Math.floor(left / neuronCost)));
  return {
    ...from,
    headMask: thinned(from.headMask, heads, keptHeads),
    neuronMask: thinned(from.neuronMask, neurons, keptNeurons),
  };
}

/** So many of each layer's ones, or all, spread evenly. */
function thinned(mask: Uint8Array, perLayer: number, most: number): Uint8Array {
  const all = mask.subarray(0, perLayer).reduce((sum, bit) => sum + bit, 0);
  const kept = Math.min(most, all);
  let rank = 0;
  return mask.map((bit, index) => {
    if (index % perLayer === 0) rank = 0;
    return bit === 0 ? 0 : spread(rank++, kept, all);
  });
}

// 1 for `kept` of the numbers below `all`.
function spread(index: number, kept: number, all: number): number {
  return Math.floor(((index + 1) * kept) / all) - Math.floor((index * kept) / all);
}
