// What a budget of time asks for, by a table: the share of the dense model's sub-layers, and whether there is one.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { keptCounts } from '../../pruning/compact.ts';
import type { Importance } from '../../pruning/fisher.ts';
import { knapsackMasks, leastCost } from '../../pruning/knapsack.ts';
import { denseSeconds, type LatencyTable, latencyCosts } from '../../pruning/latency-table.ts';
import type { Masks } from '../../pruning/masks.ts';
import { totalCost } from '../../pruning/sub-layer-costs.ts';
import { leastUniformCost, uniformMasks } from '../../pruning/uniform.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Budget, PruneRequest } from '../prune-settings.ts';
import { neuronUnit } from './neuron-unit.ts';

/** Multiple of neurons that budgets of time keep. @param asked 1: none was asked for. */
export function latencyMultiple({ intermediateSize }: Pick<ModelConfig, 'intermediateSize'>, asked: number): number {
  return asked === 1 ? neuronUnit(intermediateSize) : asked;
}

/** Searches by a table. Shares are of the dense model's time as the table adds it up. */
export interface LatencySearch {
  readonly denseSeconds: number;
  /** Smallest share that there is. */
  readonly leastShare: number;
  /** Masks that take at most this share by the table, the least at the least. @param remaining see MaskSearch.
   * @throws EspalierError "budget_out_of_range" where nothing of what remains takes so little. */
  masks(share: number, importance: Importance, remaining?: Masks): Masks;
  /** Share that the table says masks take. */
  shareOf(masks: Masks): number;
}

export function latencySearch(
  table: LatencyTable,
  config: Pick<ModelConfig, 'layers' | 'heads' | 'intermediateSize'>,
  { search, neuronMultiple }: Pick<PruneRequest, 'search' | 'neuronMultiple'>,
): LatencySearch {
  const { layers, heads, intermediateSize: neurons } = config;
  const costs = latencyCosts(table);
  const dense = denseSeconds(table);
  const sizes = { layers, heads, neurons, costs, neuronMultiple: latencyMultiple(config, neuronMultiple) };
  // The paper's search takes costs that are proportional to counts alone.
  const isUniform = search === 'uniform';
  const least = isUniform ? leastUniformCost(sizes) : leastCost(sizes);
  const find = isUniform ? uniformMasks : knapsackMasks;
  const leastShare = (table.restSeconds + least) / dense;
  return {
    denseSeconds: dense,
    leastShare,
    shareOf: (masks) => (table.restSeconds + totalCost(costs, keptCounts(masks))) / dense,
    masks(share, importance, remaining) {
      // Rounding must not push the smallest share below the least cost.
      const budget = Math.max(least, Math.max(leastShare, share) * dense - table.restSeconds);
      return find({ importance, ...sizes, budget, ...(remaining && { remaining }) });
    },
  };
}

/** Share of the dense model's time that a budget asks for.
 * @throws EspalierError "budget_out_of_range" where no masks, or all of them, take so long. */
export function goalShare(
  { kind, text, value }: Budget,
  { denseSeconds: dense, leastShare }: Pick<LatencySearch, 'denseSeconds' | 'leastShare'>,
): number {
  const inMs = kind === 'latency-ms';
  const share = inMs ? value / 1000 / dense : value;
  const shown = (of: number) => (inMs ? `${(of * dense * 1000).toPrecision(3)} ms` : of.toPrecision(3));
  if (share >= 1)
    throw new EspalierError(
      'budget_out_of_range',
      `${text}: expected less than ${shown(1)}, the time of the dense model`,
    );
  if (share < leastShare)
    throw new EspalierError(
      'budget_out_of_range',
      `${text}: expected at least ${shown(leastShare)}, which the smallest model takes`,
    );
  return share;
}
