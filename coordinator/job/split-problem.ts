// What `--split divergence` goes with: one rule for flags, campaigns and stored jobs.
import type { PruneRequest } from '../prune-settings.ts';
import { isLatencyBudget } from './read-latency-budgets.ts';

/** What is wrong with the split, or null: numbers of heads to choose from are those of the paper's search by MACs. */
export function splitProblem({
  search,
  budgets,
  fastest,
  gradual,
}: Pick<PruneRequest, 'search' | 'budgets' | 'fastest' | 'gradual'>): string | null {
  if (gradual?.split !== 'divergence') return null;
  if (search !== 'paper')
    return `got divergence with the search ${search}, expected the paper's, or the split importance`;
  if (fastest || budgets.some(isLatencyBudget))
    return 'got divergence with a budget of time, expected budgets of MACs, or the split importance';
  return null;
}
