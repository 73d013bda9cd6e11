// A WordPiece tokenizer whose vocabulary is written out, so that tests can say ids by hand, and the configuration of a
// model that it belongs to.
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { TextTokenizer } from '../../../dataset/text-tokenizer.ts';
import { wordPieceJson } from '../../../dataset/vocabulary-text.ts';

export const VOCABULARY = [
  ...['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b', 'c', 'd', 'e', 'tree', '##s', 'wall', 'garden', '.', '?'],
  ...['who', 'grew', 'the', 'old', '##er', 'pear', 'in', 'ann', 'planted', 'it', ',', 'cafe'],
];

/** Ids of tokens by their text. */
export function idsOf(...tokens: string[]): number[] {
  return tokens.map((token) => VOCABULARY.indexOf(token));
}

export function smallConfig(changes: Partial<ModelConfig> = {}): ModelConfig {
  return {
    modelType: 'bert',
    task: 'single-label-classification',
    layers: 1,
    hiddenSize: 4,
    heads: 1,
    headSize: 4,
    intermediateSize: 4,
    headsByLayer: [1],
    neuronsByLayer: [4],
    activation: 'gelu',
    layerNormEps: 1e-12,
    vocabularySize: VOCABULARY.length,
    maxTokens: 32,
    positionOffset: 0,
    typeVocabularySize: 2,
    padTokenId: 0,
    outputs: 2,
    labels: ['no', 'yes'],
    raw: {},
    ...changes,
  };
}

export function smallTokenizer(config: ModelConfig = smallConfig()): TextTokenizer {
  return new TextTokenizer(wordPieceJson('vocab.txt', VOCABULARY.join('\n'), {}), config);
}
