// What a budget means for a model: MACs at a sequence length, and the smallest budget that there is.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { denseCosts } from '../../pruning/cost.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Budget } from '../prune-settings.ts';

export interface Costs {
  /** Mean unpadded length that MACs are counted at, in tokens. */
  readonly tokens: number;
  readonly headCost: number;
  readonly neuronCost: number;
  readonly totalMacs: number;
}

/** Costs of a model's heads and neurons. @throws EspalierError "budget_out_of_range" for a share of MACs that buys nothing. */
export function modelCosts(config: ModelConfig, tokens: number, budgets: readonly Budget[]): Costs {
  const { layers, heads, intermediateSize: neurons, hiddenSize, headSize } = config;
  const { headCost, neuronCost, totalMacs, smallest } = denseCosts(
    { layers, heads, neurons },
    { tokens, hiddenSize, headSize },
  );
  const small = budgets.filter(({ kind, value }) => kind === undefined && value < smallest).map(({ text }) => text);
  if (small.length > 0)
    throw new EspalierError(
      'budget_out_of_range',
      `budget: got ${small.join(', ')}, expected at least ${smallest.toPrecision(3)}, which keeps a single unit of this model`,
    );
  return { tokens, headCost, neuronCost, totalMacs };
}
