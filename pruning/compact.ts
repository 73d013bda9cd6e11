// What is left of a model once the masks are applied: kept counts and parameters.
import type { Masks } from './masks.ts';

/** The sizes that parameters depend on; a ModelConfig has them all. */
export interface ParameterSizes {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly headSize: number;
  readonly headsByLayer: readonly number[];
  readonly neuronsByLayer: readonly number[];
  readonly vocabularySize: number;
  readonly maxTokens: number;
  readonly positionOffset: number;
  readonly typeVocabularySize: number;
  readonly outputs: number;
  readonly task: string;
}

export interface KeptCounts {
  readonly headsByLayer: readonly number[];
  readonly neuronsByLayer: readonly number[];
  /** Over all layers. */
  readonly heads: number;
  readonly neurons: number;
}

/** Heads and neurons that each layer keeps. */
export function keptCounts(masks: Masks): KeptCounts {
  const headsByLayer = countByLayer(masks.headMask, masks.layers, masks.heads);
  const neuronsByLayer = countByLayer(masks.neuronMask, masks.layers, masks.neurons);
  return { headsByLayer, neuronsByLayer, heads: sum(headsByLayer), neurons: sum(neuronsByLayer) };
}

/** Parameters of a model with the given counts (by default its own): embeddings, encoder, pooler where the task has one,
 * and task head. */
export function parameterCount(
  config: ParameterSizes,
  kept: Pick<KeptCounts, 'headsByLayer' | 'neuronsByLayer'> = config,
): number {
  const { hiddenSize, headSize, layers } = config;
  const layerNorm = 2 * hiddenSize;
  const positions = config.maxTokens + config.positionOffset;
  const embeddings = (config.vocabularySize + positions + config.typeVocabularySize) * hiddenSize + layerNorm;
  let encoder = 0;
  for (let layer = 0; layer < layers; layer++) {
    const contexts = kept.headsByLayer[layer] * headSize;
    const neurons = kept.neuronsByLayer[layer];
    encoder += 3 * contexts * (hiddenSize + 1) + contexts * hiddenSize + hiddenSize + layerNorm;
    encoder += neurons * (hiddenSize + 1) + neurons * hiddenSize + hiddenSize + layerNorm;
  }
  // One D × D matrix stands between the first position and the classes: BERT's pooler, DistilBERT's pre-classifier.
  const pooled = config.task !== 'token-classification' && config.task !== 'question-answering';
  const pooler = pooled ? hiddenSize * (hiddenSize + 1) : 0;
  return embeddings + encoder + pooler + config.outputs * (hiddenSize + 1);
}

/** Parameters of the model that the masks leave. */
export function prunedParameters(config: ParameterSizes, masks: Masks): number {
  return parameterCount(config, keptCounts(masks));
}

function countByLayer(mask: Uint8Array, layers: number, perLayer: number): number[] {
  return Array.from({ length: layers }, (_, layer) => sum(mask.subarray(layer * perLayer, (layer + 1) * perLayer)));
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
