// Uniform masks: every layer keeps all heads and the same number of neurons, so that the pruned model has the one shape a
// layer that a stock config.json can say.
import { EspalierError } from '../shared/errors.ts';
import { descending } from './descending.ts';
import type { KnapsackProblem } from './knapsack.ts';
import { denseMasks, type Masks } from './masks.ts';
import { checkCosts, neuronChoices, type SubLayerCosts, totalCost } from './sub-layer-costs.ts';

/** All heads, and of each layer as many of its most important neurons as fit the budget in every layer alike, at least
 * one. Among equally important neurons the lower index is kept first.
 * @returns masks with all scales 1.
 * @throws EspalierError "budget_out_of_range" when no count fits, "shape_mismatch", "not_finite". */
export function uniformMasks(problem: KnapsackProblem): Masks {
  const { importance, layers, heads, neurons, costs, budget } = problem;
  if (importance.neurons.length !== layers * neurons)
    throw new EspalierError(
      'shape_mismatch',
      `importance: got ${importance.neurons.length} neurons, expected ${layers * neurons}`,
    );
  checkCosts(costs, problem);
  const kept = uniformCounts(problem).findLast((count) => uniformCost(costs, { layers, heads }, count) <= budget);
  if (kept === undefined)
    throw new EspalierError(
      'budget_out_of_range',
      `budget: got ${budget}, expected at least ${leastUniformCost(problem)}`,
    );
  const masks = denseMasks(layers, heads, neurons);
  for (let layer = 0; layer < layers; layer++) {
    const order = descending(importance.neurons.subarray(layer * neurons, (layer + 1) * neurons));
    for (const neuron of order.subarray(kept)) masks.neuronMask[layer * neurons + neuron] = 0;
  }
  return masks;
}

/** The smallest budget that `uniformMasks` takes. */
export function leastUniformCost(problem: Omit<KnapsackProblem, 'importance' | 'budget'>): number {
  const { costs } = problem;
  return uniformCounts(problem).reduce(
    (least, count) => Math.min(least, uniformCost(costs, problem, count)),
    Number.POSITIVE_INFINITY,
  );
}

/** A stock model cannot do without neurons. */
function uniformCounts({ neurons, neuronMultiple }: Pick<KnapsackProblem, 'neurons' | 'neuronMultiple'>): number[] {
  return neuronChoices(neurons, neuronMultiple).filter((count) => count > 0);
}

function uniformCost(costs: SubLayerCosts, sizes: { layers: number; heads: number }, neurons: number): number {
  return totalCost(costs, {
    headsByLayer: Array<number>(sizes.layers).fill(sizes.heads),
    neuronsByLayer: Array<number>(sizes.layers).fill(neurons),
  });
}
