// What a head and a neuron cost, in multiply-accumulates (MACs) of one sample. Embeddings and the task head are not
// counted: pruning leaves them as they are.
import { EspalierError } from '../shared/errors.ts';
import type { Masks } from './masks.ts';

/** The sizes that costs depend on. */
export interface CostShape {
  /** s: tokens a sample, may be a mean and so fractional. */
  readonly tokens: number;
  /** D: width of the hidden states. */
  readonly hiddenSize: number;
  /** d: width of one head. */
  readonly headSize: number;
}

/** MACs of one head: 4·s·D·d for query, key, value and output, 2·s²·d for scores and context. */
export function headMacs(tokens: number, hiddenSize: number, headSize: number): number {
  return 4 * tokens * hiddenSize * headSize + 2 * tokens * tokens * headSize;
}

/** MACs of one FFN neuron: 2·s·D, one column of each FFN matrix. */
export function neuronMacs(tokens: number, hiddenSize: number): number {
  return 2 * tokens * hiddenSize;
}

/** MACs of an encoder with `heads` heads and `neurons` neurons in all its layers together. */
export function encoderMacs(counts: { heads: number; neurons: number }, shape: CostShape): number {
  const { tokens, hiddenSize, headSize } = shape;
  return counts.heads * headMacs(tokens, hiddenSize, headSize) + counts.neurons * neuronMacs(tokens, hiddenSize);
}

/** MACs of what the masks keep. */
export function maskMacs(masks: Masks, shape: CostShape): number {
  return encoderMacs({ heads: countOnes(masks.headMask), neurons: countOnes(masks.neuronMask) }, shape);
}

/** MACs of a kind of unit and the whole: what `searchMasks` and the check of budgets need.
 * @returns `totalMacs` of the dense encoder; `smallest`, the smallest budget (a fraction in (0, 1]) that keeps one unit. */
export function denseCosts(
  sizes: { layers: number; heads: number; neurons: number },
  shape: CostShape,
): { headCost: number; neuronCost: number; totalMacs: number; smallest: number } {
  if (!(shape.tokens > 0))
    throw new EspalierError('usage', `tokens a sample: got ${shape.tokens}, expected a positive number`);
  const headCost = headMacs(shape.tokens, shape.hiddenSize, shape.headSize);
  const neuronCost = neuronMacs(shape.tokens, shape.hiddenSize);
  const totalMacs = encoderMacs({ heads: sizes.layers * sizes.heads, neurons: sizes.layers * sizes.neurons }, shape);
  return { headCost, neuronCost, totalMacs, smallest: smallestBudget(headCost, neuronCost, totalMacs) };
}

/** Smallest budget at which anything is kept: the cheaper unit's share of the encoder. */
export function smallestBudget(headCost: number, neuronCost: number, totalMacs: number): number {
  return Math.min(headCost, neuronCost) / totalMacs;
}

function countOnes(mask: Uint8Array): number {
  let ones = 0;
  for (const bit of mask) ones += bit;
  return ones;
}
