// Masks for measuring: every layer keeps the same share, spread evenly, so that what is measured does not depend on what a
// search finds in random weights.
import { denseCosts } from '../../../pruning/cost.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';

/** @param share of the dense encoder's MACs, in (0, 1); the nearest count of heads (one at least), and neurons up to it.
 * @param tokens mean length of a sample, at which MACs are counted. */
export function evenMasks(
  sizes: { layers: number; heads: number; neurons: number; hiddenSize: number; headSize: number },
  share: number,
  tokens: number,
): Masks {
  const { layers, heads, neurons } = sizes;
  const { headCost, neuronCost, totalMacs } = denseCosts(sizes, { ...sizes, tokens });
  const keptHeads = Math.max(1, Math.round(share * heads));
  const left = (share * totalMacs) / layers - keptHeads * headCost;
  const keptNeurons = Math.min(neurons, Math.max(1, Math.floor(left / neuronCost)));
  const masks = denseMasks(layers, heads, neurons);
  return {
    ...masks,
    headMask: masks.headMask.map((_, index) => spread(index % heads, keptHeads, heads)),
    neuronMask: masks.neuronMask.map((_, index) => spread(index % neurons, keptNeurons, neurons)),
  };
}

// 1 for `kept` of the numbers below `all`.
function spread(index: number, kept: number, all: number): number {
  return Math.floor(((index + 1) * kept) / all) - Math.floor((index * kept) / all);
}
