// What a sub-layer costs by what it keeps: a table's entry for every count, in any unit (MACs, seconds). All layers of an
// encoder have one shape, so two tables serve all of them.
import { EspalierError } from '../shared/errors.ts';
import { type CostShape, encoderMacs, headMacs, neuronMacs } from './cost.ts';

/** Costs of one layer's sub-layers, all of one unit. They need not rise with the count: 32 neurons may take less time
 * than 30. */
export interface SubLayerCosts {
  /** [heads + 1]: of an attention that keeps 0, 1, … H heads; finite, >= 0. */
  readonly attention: Float64Array;
  /** [neurons + 1]: of an FFN that keeps 0, 1, … I neurons; finite, >= 0. */
  readonly ffn: Float64Array;
  /** Cost of all sub-layers together, as the budget is compared with. Left out: their entries, added up in order. */
  readonly total?: (kept: LayerCounts) => number;
}

/** What each layer keeps. */
export interface LayerCounts {
  readonly headsByLayer: readonly number[];
  readonly neuronsByLayer: readonly number[];
}

/** Multiples that numbers of neurons can be held to: vector and tile sizes of CPUs and GPUs. */
export const NEURON_MULTIPLES = [1, 8, 16, 32, 64] as const;

export type NeuronMultiple = (typeof NEURON_MULTIPLES)[number];

/** MACs of a model's sub-layers. Their total is taken from all heads and all neurons, so that no rounding of a sum hides
 * that a budget is overrun. */
export function macsCosts(sizes: { heads: number; neurons: number }, shape: CostShape): SubLayerCosts {
  const { tokens, hiddenSize, headSize } = shape;
  const linear = (most: number, cost: number) => new Float64Array(most + 1).map((_, count) => count * cost);
  return {
    attention: linear(sizes.heads, headMacs(tokens, hiddenSize, headSize)),
    ffn: linear(sizes.neurons, neuronMacs(tokens, hiddenSize)),
    total: ({ headsByLayer, neuronsByLayer }) =>
      encoderMacs({ heads: sum(headsByLayer), neurons: sum(neuronsByLayer) }, shape),
  };
}

/** Cost of all sub-layers together. */
export function totalCost(costs: SubLayerCosts, kept: LayerCounts): number {
  if (costs.total !== undefined) return costs.total(kept);
  let total = 0;
  for (const [layer, heads] of kept.headsByLayer.entries())
    total += costs.attention[heads] + costs.ffn[kept.neuronsByLayer[layer]];
  return total;
}

/** Numbers of neurons that an FFN may keep: 0, multiples of `multiple`, and all of them; ascending. */
export function neuronChoices(neurons: number, multiple: number): number[] {
  const choices: number[] = [];
  for (let count = 0; count < neurons; count += multiple) choices.push(count);
  return [...choices, neurons];
}

/** @throws EspalierError "shape_mismatch" when a table has not an entry for each count, "not_finite" when an entry is
 * not finite or is negative. */
export function checkCosts(costs: SubLayerCosts, sizes: { heads: number; neurons: number }): void {
  for (const [name, table, most] of [
    ['attention', costs.attention, sizes.heads],
    ['ffn', costs.ffn, sizes.neurons],
  ] as const) {
    if (table.length !== most + 1)
      throw new EspalierError('shape_mismatch', `costs of ${name}: got ${table.length} entries, expected ${most + 1}`);
    const at = table.findIndex((cost) => !(Number.isFinite(cost) && cost >= 0));
    if (at >= 0)
      throw new EspalierError('not_finite', `cost of ${name} with ${at}: got ${table[at]}, expected a number >= 0`);
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
