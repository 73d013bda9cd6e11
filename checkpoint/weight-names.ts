// Every weight of a model: its name here, its name in Hugging Face files, and its shape. One vocabulary for all
// architectures; nothing else knows how an architecture spells its weights.
import type { ModelConfig } from './model-config.ts';

export interface WeightSpec {
  /** Canonical name, e.g. "layers.3.ffn_out.weight". */
  readonly name: string;
  /** Name in the architecture's files, e.g. "bert.encoder.layer.3.output.dense.weight". */
  readonly storedName: string;
  /** Shape with the heads and neurons that the layer still has. Matrices are [outputs, inputs]. */
  readonly shape: readonly number[];
}

/** Where an architecture keeps each module; `layer` is followed by the layer's number. */
interface ModuleNames {
  readonly prefix: string;
  readonly layer: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly attentionOutput: string;
  readonly attentionNorm: string;
  readonly ffnIn: string;
  readonly ffnOut: string;
  readonly ffnNorm: string;
  /** The two modules of a sequence classification head. */
  readonly headDense: string;
  readonly sequenceOutput: string;
}

const BERT_LAYER = {
  layer: 'encoder.layer',
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  attentionOutput: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  ffnIn: 'intermediate.dense',
  ffnOut: 'output.dense',
  ffnNorm: 'output.LayerNorm',
} as const;

const BERT: ModuleNames = {
  prefix: 'bert',
  ...BERT_LAYER,
  headDense: 'bert.pooler.dense',
  sequenceOutput: 'classifier',
};

const ROBERTA: ModuleNames = {
  prefix: 'roberta',
  ...BERT_LAYER,
  headDense: 'classifier.dense',
  sequenceOutput: 'classifier.out_proj',
};

const DISTILBERT: ModuleNames = {
  prefix: 'distilbert',
  layer: 'transformer.layer',
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  attentionOutput: 'attention.out_lin',
  attentionNorm: 'sa_layer_norm',
  ffnIn: 'ffn.lin1',
  ffnOut: 'ffn.lin2',
  ffnNorm: 'output_layer_norm',
  headDense: 'pre_classifier',
  sequenceOutput: 'classifier',
};

function moduleNames(config: ModelConfig): ModuleNames {
  if (config.modelType === 'bert') return BERT;
  // XLM-RoBERTa and CamemBERT keep RoBERTa's names.
  return config.modelType === 'distilbert' ? DISTILBERT : ROBERTA;
}

/** True where the head has a dense layer on the first token: sequence classification and regression. */
export function hasHeadDense(config: ModelConfig): boolean {
  return config.task !== 'token-classification' && config.task !== 'question-answering';
}

/** What follows the head's dense layer, where there is one. */
export function headActivation(config: ModelConfig): 'tanh' | 'relu' {
  return config.modelType === 'distilbert' ? 'relu' : 'tanh';
}

/** All weights of a model: embeddings, then layers in order, then the head. */
export function weightSpecs(config: ModelConfig): WeightSpec[] {
  const names = moduleNames(config);
  const { hiddenSize, headSize, outputs } = config;
  const specs: WeightSpec[] = [];
  const table = (name: string, stored: string, rows: number) =>
    specs.push({ name, storedName: `${stored}.weight`, shape: [rows, hiddenSize] });
  const linear = (name: string, stored: string, rows: number, columns: number) =>
    specs.push(
      { name: `${name}.weight`, storedName: `${stored}.weight`, shape: [rows, columns] },
      { name: `${name}.bias`, storedName: `${stored}.bias`, shape: [rows] },
    );
  const norm = (name: string, stored: string) =>
    specs.push(
      { name: `${name}.weight`, storedName: `${stored}.weight`, shape: [hiddenSize] },
      { name: `${name}.bias`, storedName: `${stored}.bias`, shape: [hiddenSize] },
    );

  const embeddings = `${names.prefix}.embeddings`;
  table('embeddings.word', `${embeddings}.word_embeddings`, config.vocabularySize);
  table('embeddings.position', `${embeddings}.position_embeddings`, config.maxTokens + config.positionOffset);
  if (config.typeVocabularySize > 0)
    table('embeddings.type', `${embeddings}.token_type_embeddings`, config.typeVocabularySize);
  norm('embeddings.norm', `${embeddings}.LayerNorm`);

  for (let layer = 0; layer < config.layers; layer++) {
    const contextSize = config.headsByLayer[layer] * headSize;
    const neurons = config.neuronsByLayer[layer];
    const stored = (module: string) => `${names.prefix}.${names.layer}.${layer}.${module}`;
    linear(`layers.${layer}.query`, stored(names.query), contextSize, hiddenSize);
    linear(`layers.${layer}.key`, stored(names.key), contextSize, hiddenSize);
    linear(`layers.${layer}.value`, stored(names.value), contextSize, hiddenSize);
    linear(`layers.${layer}.attention_output`, stored(names.attentionOutput), hiddenSize, contextSize);
    norm(`layers.${layer}.attention_norm`, stored(names.attentionNorm));
    linear(`layers.${layer}.ffn_in`, stored(names.ffnIn), neurons, hiddenSize);
    linear(`layers.${layer}.ffn_out`, stored(names.ffnOut), hiddenSize, neurons);
    norm(`layers.${layer}.ffn_norm`, stored(names.ffnNorm));
  }

  if (hasHeadDense(config)) linear('head.dense', names.headDense, hiddenSize, hiddenSize);
  linear('head.output', headOutputName(config, names), outputs, hiddenSize);
  return specs;
}

function headOutputName(config: ModelConfig, names: ModuleNames): string {
  if (config.task === 'question-answering') return 'qa_outputs';
  return config.task === 'token-classification' ? 'classifier' : names.sequenceOutput;
}

/** True for what older files carry and no computation uses: position and token type buffers, and the pooler of a model
 * whose head does not read it. Any other weight that weightSpecs does not list is a sign of the wrong config. */
export function isUnusedWeight(config: ModelConfig, storedName: string): boolean {
  const { prefix } = moduleNames(config);
  if (storedName === `${prefix}.embeddings.position_ids` || storedName === `${prefix}.embeddings.token_type_ids`)
    return true;
  const usesPooler = config.modelType === 'bert' && hasHeadDense(config);
  return !usesPooler && config.modelType !== 'distilbert' && storedName.startsWith(`${prefix}.pooler.dense.`);
}
