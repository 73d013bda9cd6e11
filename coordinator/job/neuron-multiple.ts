// Which multiples of neurons go with which search: one rule for flags, campaigns and stored jobs.
import { NEURON_MULTIPLES } from '../../pruning/sub-layer-costs.ts';
import type { PruneRequest } from '../prune-settings.ts';

/** What is wrong with the multiple, or null. Budgets of time never take the paper's search. */
export function multipleProblem({
  search,
  neuronMultiple,
  budgets,
}: Pick<PruneRequest, 'search' | 'neuronMultiple' | 'budgets'>): string | null {
  if (!NEURON_MULTIPLES.some((multiple) => multiple === neuronMultiple))
    return `got ${neuronMultiple}, expected ${NEURON_MULTIPLES.join(', ')}`;
  const takesAny = ({ kind }: PruneRequest['budgets'][number]) => kind === undefined || kind === 'max-drop';
  if (neuronMultiple === 1 || search !== 'paper' || !budgets.some(takesAny)) return null;
  return `got ${neuronMultiple} with the paper's search, which keeps any number; expected the knapsack search or uniform layers`;
}
