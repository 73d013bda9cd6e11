// Uniform masks: every layer keeps all heads and the same number of neurons, so that the pruned model has the one shape a
// layer that a stock config.json can say.
import { EspalierError } from '../shared/errors.ts';
import { keptCounts } from './compact.ts';
import type { KnapsackProblem } from './knapsack.ts';
import { denseMasks, type Masks } from './masks.ts';
import { searchOrder } from './search-remaining.ts';
import { checkCosts, neuronChoices, type SubLayerCosts, totalCost } from './sub-layer-costs.ts';

/** All heads, and of each layer as many of its most important neurons as fit the budget in every layer alike, at least
 * one. Among equally important neurons the lower index is kept first. Among what remains no layer keeps more neurons than
 * the one with fewest has; the guard of heads asks nothing here, since all stay.
 * @returns masks with all scales 1.
 * @throws EspalierError "budget_out_of_range" when no count fits, "shape_mismatch", also where a head does not remain,
 * "not_finite". */
export function uniformMasks(problem: KnapsackProblem): Masks {
  const { importance, layers, heads, neurons, costs, budget, remaining } = problem;
  if (importance.neurons.length !== layers * neurons)
    throw new EspalierError(
      'shape_mismatch',
      `importance: got ${importance.neurons.length} neurons, expected ${layers * neurons}`,
    );
  checkCosts(costs, problem);
  const most = remaining === undefined ? neurons : mostAlike(remaining);
  const fits = (count: number) => count <= most && uniformCost(costs, { layers, heads }, count) <= budget;
  const kept = uniformCounts(problem).findLast(fits);
  if (kept === undefined)
    throw new EspalierError(
      'budget_out_of_range',
      `budget: got ${budget}, expected at least ${leastUniformCost(problem)}`,
    );
  const masks = denseMasks(layers, heads, neurons);
  masks.neuronMask.fill(0);
  const order = searchOrder(importance, remaining).neurons;
  for (let layer = 0; layer < layers; layer++) {
    const own = order.filter((neuron) => Math.floor(neuron / neurons) === layer);
    for (const neuron of own.subarray(0, kept)) masks.neuronMask[neuron] = 1;
  }
  return masks;
}

/** Neurons that every layer still has. @throws EspalierError "shape_mismatch" where a head is gone. */
function mostAlike(remaining: Masks): number {
  const { heads, neuronsByLayer } = keptCounts(remaining);
  if (heads !== remaining.layers * remaining.heads)
    throw new EspalierError(
      'shape_mismatch',
      `remaining: got ${heads} heads, expected all ${remaining.layers * remaining.heads}, which uniform masks keep`,
    );
  return Math.min(...neuronsByLayer);
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
