// What a budget means for a model: MACs at a sequence length, and the smallest budget that there is.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { denseCosts } from '../../pruning/cost.ts';
import { macsCosts } from '../../pruning/sub-layer-costs.ts';
import { leastUniformCost } from '../../pruning/uniform.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { PruneRequest } from '../prune-settings.ts';

export interface Costs {
  /** Mean unpadded length that MACs are counted at, in tokens. */
  readonly tokens: number;
  readonly headCost: number;
  readonly neuronCost: number;
  readonly totalMacs: number;
  /** The smallest share of MACs that the job's search can keep to and keep anything. */
  readonly smallest: number;
}

/** Costs of a model's heads and neurons. @throws EspalierError "budget_out_of_range" for a share of MACs that buys nothing. */
export function modelCosts(
  config: ModelConfig,
  tokens: number,
  { budgets, search, neuronMultiple }: Pick<PruneRequest, 'budgets' | 'search' | 'neuronMultiple'>,
): Costs {
  const { layers, heads, intermediateSize: neurons, hiddenSize, headSize } = config;
  const shape = { tokens, hiddenSize, headSize };
  const { headCost, neuronCost, totalMacs } = denseCosts({ layers, heads, neurons }, shape);
  const fewestNeurons = Math.min(neuronMultiple, neurons);
  const least =
    search === 'uniform'
      ? leastUniformCost({ layers, heads, neurons, neuronMultiple, costs: macsCosts({ heads, neurons }, shape) })
      : Math.min(headCost, fewestNeurons * neuronCost);
  const smallest = least / totalMacs;
  const small = budgets.filter(({ kind, value }) => kind === undefined && value < smallest).map(({ text }) => text);
  if (small.length > 0) {
    const keeps =
      search === 'uniform'
        ? `all heads and ${fewestNeurons === 1 ? 'one neuron' : `${fewestNeurons} neurons`} a layer`
        : 'a single unit of this model';
    throw new EspalierError(
      'budget_out_of_range',
      `budget: got ${small.join(', ')}, expected at least ${roundedUp(smallest)}, which keeps ${keeps}`,
    );
  }
  return { tokens, headCost, neuronCost, totalMacs, smallest };
}

/** Three digits that are a budget which is large enough. */
function roundedUp(share: number): string {
  const digits = 10 ** (2 - Math.floor(Math.log10(share)));
  return (Math.ceil(share * digits) / digits).toPrecision(3);
}
