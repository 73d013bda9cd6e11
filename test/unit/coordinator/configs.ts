// Model configurations for tests of the coordinator.
import type { ModelConfig } from '../../../checkpoint/model-config.ts';

export function modelConfig(changes: Partial<ModelConfig> = {}): ModelConfig {
  return {
    modelType: 'bert',
    task: 'single-label-classification',
    layers: 2,
    hiddenSize: 8,
    heads: 2,
    headSize: 4,
    intermediateSize: 6,
    headsByLayer: [2, 2],
    neuronsByLayer: [6, 6],
    activation: 'gelu',
    layerNormEps: 1e-12,
    vocabularySize: 1000,
    maxTokens: 64,
    positionOffset: 0,
    typeVocabularySize: 2,
    padTokenId: 0,
    outputs: 3,
    labels: ['a', 'b', 'c'],
    raw: {},
    ...changes,
  };
}
