// What Espalier needs to know of a model's config.json, in one vocabulary for all architectures. Reading and checking
// the file itself is read-config.ts.

export type ModelType = 'bert' | 'distilbert' | 'roberta' | 'xlm-roberta' | 'camembert';

/** What the head predicts and which loss it is trained with. */
export type TaskKind =
  | 'single-label-classification'
  | 'multi-label-classification'
  | 'regression'
  | 'token-classification'
  | 'question-answering';

export type Activation = 'gelu' | 'gelu-tanh' | 'relu';

export interface ModelConfig {
  readonly modelType: ModelType;
  readonly task: TaskKind;
  readonly layers: number;
  /** D: width of the hidden states. */
  readonly hiddenSize: number;
  /** H: heads a layer of the dense model. */
  readonly heads: number;
  /** d = D / H of the dense model; pruning leaves it as it is. */
  readonly headSize: number;
  /** I: FFN neurons a layer of the dense model. */
  readonly intermediateSize: number;
  /** Heads that each layer still has: H everywhere in a dense model, 0 allowed. */
  readonly headsByLayer: readonly number[];
  /** Neurons that each layer still has: I everywhere in a dense model, 0 allowed. */
  readonly neuronsByLayer: readonly number[];
  readonly activation: Activation;
  readonly layerNormEps: number;
  readonly vocabularySize: number;
  /** Longest input in tokens (RoBERTa's two reserved positions already taken off). */
  readonly maxTokens: number;
  /** Row of the position table that the first token uses: 0, or padding id + 1 for RoBERTa. */
  readonly positionOffset: number;
  /** Rows of the token type table; 0 where the architecture has none. */
  readonly typeVocabularySize: number;
  readonly padTokenId: number;
  /** Outputs of the head: classes, regression targets, or 2 (start, end) for question answering. */
  readonly outputs: number;
  /** Label names by class id; empty for question answering. */
  readonly labels: readonly string[];
  /** config.json as it was read. */
  readonly raw: Readonly<Record<string, unknown>>;
}
