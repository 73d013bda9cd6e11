// The paper's search: which heads and neurons of the whole model a budget keeps. Kwon et al. 2022, algorithm 1, except
// that no head count may overrun the budget and that 0 heads may be kept.
import { EspalierError } from '../shared/errors.ts';
import type { Importance } from './fisher.ts';
import { denseMasks, type Masks } from './masks.ts';
import { type SearchOrder, searchOrder } from './search-remaining.ts';

export interface SearchProblem {
  readonly importance: Importance;
  readonly layers: number;
  readonly heads: number;
  readonly neurons: number;
  /** MACs of one head and of one neuron, > 0. */
  readonly headCost: number;
  readonly neuronCost: number;
  /** MACs that the kept heads and neurons may cost together, >= 0; never overrun. */
  readonly budgetMacs: number;
  /** What a model that is pruned already still has: nothing else is kept, and the most important head of each of its layers is
   * guarded. Left out: everything may be kept or go. */
  readonly remaining?: Masks;
}

/** For every number of kept heads h that fits the budget by itself, 0 included: the h most important heads of the whole
 * model and as many of its most important neurons as the rest of the budget buys. The h with the largest total
 * importance wins, the larger h where totals are equal. Among equally important variables the lower layer, then the
 * lower index, is kept first.
 *
 * Among what remains, the guarded heads count among the h before all others, and no h leaves one of them out that the
 * budget could buy: where it cannot buy them all, the most important ones that it buys are the heads that are kept.
 * @returns masks with all scales 1; they keep nothing where the budget buys nothing.
 * @throws EspalierError "shape_mismatch", or "not_finite" when an importance is not finite. */
export function searchMasks(problem: SearchProblem): Masks {
  const { order, best } = splitsOf(problem);
  return masksOfSplit(problem, order, best);
}

/** So many of the most important heads, and of the neurons. */
export interface Split {
  readonly heads: number;
  readonly neurons: number;
  /** Their importance. */
  readonly total: number;
}

/** All numbers of heads that fit the budget, from 0 on, each with the neurons that the rest of it buys, and the one that
 * `searchMasks` keeps. @throws as it does. */
export function splitsOf(problem: SearchProblem): { order: SearchOrder; splits: Split[]; best: Split } {
  const { importance, layers, heads, neurons, headCost, neuronCost, budgetMacs } = problem;
  if (importance.heads.length !== layers * heads || importance.neurons.length !== layers * neurons)
    throw new EspalierError(
      'shape_mismatch',
      `importance: got ${importance.heads.length} heads and ${importance.neurons.length} neurons, ` +
        `expected ${layers * heads} and ${layers * neurons}`,
    );
  if (!(headCost > 0 && neuronCost > 0 && budgetMacs >= 0))
    throw new EspalierError('internal', `costs ${headCost}, ${neuronCost} and budget ${budgetMacs} must be positive`);
  const order = searchOrder(importance, problem.remaining);
  const headTotals = runningTotals(importance.heads, order.heads); // [heads that may be kept + 1]
  const neuronTotals = runningTotals(importance.neurons, order.neurons); // [neurons that may be kept + 1]

  const splits: Split[] = [];
  for (let keptHeads = 0; keptHeads <= order.heads.length; keptHeads++) {
    if (keptHeads * headCost > budgetMacs) break;
    const keptNeurons = affordable(keptHeads, order, problem);
    const total = headTotals[keptHeads] + neuronTotals[keptNeurons];
    splits.push({ heads: keptHeads, neurons: keptNeurons, total });
  }
  const best = splits.reduce((a, b) => (b.total >= a.total || b.heads <= order.guarded ? b : a));
  return { order, splits, best };
}

/** @returns masks with all scales 1. */
export function masksOfSplit(
  { layers, heads, neurons }: Pick<SearchProblem, 'layers' | 'heads' | 'neurons'>,
  order: SearchOrder,
  split: Split,
): Masks {
  const masks = denseMasks(layers, heads, neurons);
  masks.headMask.fill(0);
  masks.neuronMask.fill(0);
  for (const head of order.heads.subarray(0, split.heads)) masks.headMask[head] = 1;
  for (const neuron of order.neurons.subarray(0, split.neurons)) masks.neuronMask[neuron] = 1;
  return masks;
}

/** Neurons that the budget buys beside `keptHeads` heads; the product is checked again because the quotient is rounded. */
function affordable(
  keptHeads: number,
  order: Pick<SearchOrder, 'neurons'>,
  { headCost, neuronCost, budgetMacs }: SearchProblem,
): number {
  const rest = budgetMacs - keptHeads * headCost;
  let count = Math.min(order.neurons.length, Math.floor(rest / neuronCost) + 1);
  while (count > 0 && keptHeads * headCost + count * neuronCost > budgetMacs) count--;
  return count;
}

/** totals[n]: sum of the first n values in `order`. */
export function runningTotals(values: Float64Array, order: Int32Array): Float64Array {
  const totals = new Float64Array(order.length + 1);
  for (let count = 0; count < order.length; count++) totals[count + 1] = totals[count] + values[order[count]];
  return totals;
}
