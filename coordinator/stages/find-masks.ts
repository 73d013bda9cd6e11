// How a job finds the masks of a target, before anything is made of them: one search for each kind of cost.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Importance } from '../../pruning/fisher.ts';
import { knapsackMasks } from '../../pruning/knapsack.ts';
import type { Masks } from '../../pruning/masks.ts';
import { type SearchProblem, searchMasks } from '../../pruning/search.ts';
import { splitMasks } from '../../pruning/split.ts';
import { macsCosts } from '../../pruning/sub-layer-costs.ts';
import { uniformMasks } from '../../pruning/uniform.ts';
import type { Costs } from '../job/budget.ts';
import type { PruneRequest } from '../prune-settings.ts';

/** Masks that cost no more than a share of the dense encoder, in (0, 1], in whatever the search counts. A pure function:
 * equal arguments give equal masks.
 * @param remaining what a student that is pruned already still has: nothing that is gone is kept, and of each layer the most
 * important head that is left as far as the share allows; left out: everything may be kept or go. */
export type MaskSearch = (fraction: number, importance: Importance, remaining?: Masks) => Masks;

/** Masks of several numbers of heads, those of the search first; see `splitMasks`. */
export type SplitSearch = (fraction: number, importance: Importance, remaining: Masks) => readonly Masks[];

/** What a share is of: the dense encoder's MACs, or the dense model's time by the latency table. */
export type CostKind = 'macs' | 'time';

/** What masks are sought for. */
export interface Target {
  /** As events name it. */
  readonly text: string;
  readonly cost: CostKind;
  /** Share of the dense encoder's cost that may be kept, in (0, 1]. */
  readonly fraction: number;
  /** Folder of its stages, which no other target of the job has; see `stagesOf`. */
  readonly stages: string;
}

/** Folder of a budget's stages. @param prefix of the job's plan. */
export function stagesOf(prefix: string, { kind, value }: { readonly kind?: string; readonly value: number }): string {
  return `${prefix}/budget-${kind === undefined ? '' : `${kind}-`}${value}`;
}

/** The search that was asked for, by MACs. */
export function macsSearch(
  config: ModelConfig,
  costs: Costs,
  { search, neuronMultiple }: Pick<PruneRequest, 'search' | 'neuronMultiple'>,
): MaskSearch {
  const { layers, heads, intermediateSize: neurons, hiddenSize, headSize } = config;
  const sizes = { layers, heads, neurons };
  const budgetOf = (fraction: number) => fraction * costs.totalMacs;
  if (search === 'paper') return (...asked) => searchMasks(paperProblem(config, costs, ...asked));
  const find = search === 'knapsack' ? knapsackMasks : uniformMasks;
  const tables = macsCosts(sizes, { tokens: costs.tokens, hiddenSize, headSize });
  return (fraction, importance, remaining) =>
    find({
      ...{ importance, ...sizes, costs: tables, budget: budgetOf(fraction), neuronMultiple },
      ...(remaining && { remaining }),
    });
}

/** The splits of the paper's search, by MACs. */
export function macsSplits(config: ModelConfig, costs: Costs): SplitSearch {
  return (...asked) => splitMasks(paperProblem(config, costs, ...asked));
}

function paperProblem(
  { layers, heads, intermediateSize: neurons }: ModelConfig,
  costs: Costs,
  ...[fraction, importance, remaining]: Parameters<MaskSearch>
): SearchProblem {
  const budgetMacs = fraction * costs.totalMacs;
  return { importance, layers, heads, neurons, ...costs, budgetMacs, ...(remaining && { remaining }) };
}
