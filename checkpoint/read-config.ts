// Reads a Hugging Face config.json into a ModelConfig. A config that gets through describes a model that every other
// part of Espalier can run; all problems are reported in one message.
import { EspalierError } from '../shared/errors.ts';
import type { Activation, ModelConfig, ModelType, TaskKind } from './model-config.ts';

/** How an architecture spells its classes and fields, and what transformers assumes where a field is absent. */
interface Dialect {
  readonly classPrefix: string;
  readonly fields: Readonly<Record<'hiddenSize' | 'heads' | 'layers' | 'intermediateSize' | 'activation', string>>;
  readonly padTokenId: number;
  readonly hasTokenTypes: boolean;
  /** True where positions start after the padding id, as fairseq counts them. */
  readonly positionsAfterPadding: boolean;
}

const BERT_FIELDS = {
  hiddenSize: 'hidden_size',
  heads: 'num_attention_heads',
  layers: 'num_hidden_layers',
  intermediateSize: 'intermediate_size',
  activation: 'hidden_act',
} as const;
const DISTILBERT_FIELDS = {
  hiddenSize: 'dim',
  heads: 'n_heads',
  layers: 'n_layers',
  intermediateSize: 'hidden_dim',
  activation: 'activation',
} as const;
const ROBERTA = { fields: BERT_FIELDS, padTokenId: 1, hasTokenTypes: true, positionsAfterPadding: true } as const;

const DIALECTS: Readonly<Record<ModelType, Dialect>> = {
  bert: {
    classPrefix: 'Bert',
    fields: BERT_FIELDS,
    padTokenId: 0,
    hasTokenTypes: true,
    positionsAfterPadding: false,
  },
  distilbert: {
    classPrefix: 'DistilBert',
    fields: DISTILBERT_FIELDS,
    padTokenId: 0,
    hasTokenTypes: false,
    positionsAfterPadding: false,
  },
  roberta: { classPrefix: 'Roberta', ...ROBERTA },
  'xlm-roberta': { classPrefix: 'XLMRoberta', ...ROBERTA },
  camembert: { classPrefix: 'Camembert', ...ROBERTA },
};

/** The field of config.json that says how many neurons every layer has. */
export function intermediateSizeField(modelType: ModelType): string {
  return DIALECTS[modelType].fields.intermediateSize;
}

// transformers' names by formula (its activations.py). gelu_new, gelu_pytorch_tanh, gelu_fast and gelu_accurate are
// one formula, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), arranged differently.
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_accurate: 'gelu-tanh',
  relu: 'relu',
};

type Head = 'SequenceClassification' | 'TokenClassification' | 'QuestionAnswering';
const HEADS: readonly Head[] = ['SequenceClassification', 'TokenClassification', 'QuestionAnswering'];
// Bounds on what is allocated before the weights can contradict the config.
const MAX_LAYERS = 1000;
const MAX_LABELS = 1_000_000;
const MAX_SIZE = 2 ** 31 - 1;

interface NumberRule {
  readonly least?: number;
  readonly most?: number;
  /** What an absent or null field means; without it the field is required. */
  readonly absent?: number;
}

/** Reads the text of a config.json.
 * @param source what messages call the file.
 * @throws EspalierError "model_format" for values that make no sense, "model_unsupported" for models that cannot be
 * pruned here; the message names every problem that was found. */
export function readModelConfig(text: string, source: string): ModelConfig {
  const raw = parseObject(text, source);
  const modelType = raw.model_type;
  if (typeof modelType !== 'string' || !Object.hasOwn(DIALECTS, modelType))
    throw new EspalierError(
      'model_unsupported',
      `${source}: model_type: got ${show(modelType)}, expected one of ${Object.keys(DIALECTS).join(', ')}`,
    );
  const reader = new ConfigReader(raw, modelType as ModelType);
  const config = reader.read();
  const problems = [...reader.malformed, ...reader.unsupported].map((problem) => `${source}: ${problem}`);
  if (config === null || problems.length > 0)
    throw new EspalierError(reader.malformed.length > 0 ? 'model_format' : 'model_unsupported', problems.join('; '));
  return config;
}

/** Walks over the fields once and collects what is wrong with them. */
class ConfigReader {
  readonly malformed: string[] = [];
  readonly unsupported: string[] = [];
  private readonly raw: Readonly<Record<string, unknown>>;
  private readonly modelType: ModelType;

  constructor(raw: Readonly<Record<string, unknown>>, modelType: ModelType) {
    this.raw = raw;
    this.modelType = modelType;
  }

  read(): ModelConfig | null {
    const { fields, ...dialect } = DIALECTS[this.modelType];
    const hiddenSize = this.wholeNumber(fields.hiddenSize);
    const heads = this.wholeNumber(fields.heads);
    const layers = this.wholeNumber(fields.layers, { most: MAX_LAYERS });
    const intermediateSize = this.wholeNumber(fields.intermediateSize);
    if (heads > 0 && hiddenSize % heads !== 0)
      this.malformed.push(`${fields.heads}: got ${heads}, expected a divisor of ${fields.hiddenSize} ${hiddenSize}`);
    const headSize = hiddenSize / heads;
    const padTokenId = this.wholeNumber('pad_token_id', { least: 0, absent: dialect.padTokenId });
    const positions = this.wholeNumber('max_position_embeddings');
    const positionOffset = dialect.positionsAfterPadding ? padTokenId + 1 : 0;
    if (positions > 0 && positions <= positionOffset)
      this.malformed.push(`max_position_embeddings: got ${positions}, expected more than ${positionOffset}`);
    const activation = this.activation(fields.activation);
    this.refuseVariants();
    const head = this.head(dialect.classPrefix);
    const labels = head === null ? [] : this.labels();
    const task = head === null ? null : this.task(head, labels.length);
    const pruned = this.pruned(headSize, layers, heads, intermediateSize);
    const config = {
      modelType: this.modelType,
      layers,
      hiddenSize,
      heads,
      headSize,
      intermediateSize,
      ...pruned,
      layerNormEps: dialect.hasTokenTypes ? this.layerNormEps() : 1e-12,
      vocabularySize: this.wholeNumber('vocab_size'),
      maxTokens: positions - positionOffset,
      positionOffset,
      typeVocabularySize: dialect.hasTokenTypes ? this.wholeNumber('type_vocab_size', { absent: 2 }) : 0,
      padTokenId,
      outputs: task === 'question-answering' ? 2 : labels.length,
      labels: task === 'question-answering' ? [] : labels,
      raw: this.raw,
    };
    return task === null || activation === null ? null : { ...config, task, activation };
  }

  /** A required whole number, or with `absent` an optional one that also may be null; 0 after a problem was noted. */
  private wholeNumber(field: string, { least = 1, most = MAX_SIZE, absent }: NumberRule = {}): number {
    const value = this.raw[field];
    if (absent !== undefined && (value === undefined || value === null)) return absent;
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
    this.malformed.push(`${field}: got ${show(value)}, expected a whole number from ${least} to ${most}`);
    return 0;
  }

  private layerNormEps(): number {
    const value = this.raw.layer_norm_eps ?? 1e-12;
    if (typeof value === 'number' && value > 0 && value < 1) return value;
    this.malformed.push(`layer_norm_eps: got ${show(value)}, expected a number between 0 and 1`);
    return 0;
  }

  private activation(field: string): Activation | null {
    const name = this.raw[field] ?? 'gelu';
    if (typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name];
    this.unsupported.push(`${field}: got ${show(name)}, expected one of ${Object.keys(ACTIVATIONS).join(', ')}`);
    return null;
  }

  /** Notes settings that change the computation to one that is not implemented. */
  private refuseVariants(): void {
    for (const field of ['is_decoder', 'add_cross_attention'])
      if (this.raw[field] !== undefined && this.raw[field] !== null && this.raw[field] !== false)
        this.unsupported.push(`${field}: got ${show(this.raw[field])}, expected false`);
    const positions = this.raw.position_embedding_type ?? 'absolute';
    if (positions !== 'absolute')
      this.unsupported.push(`position_embedding_type: got ${show(positions)}, expected "absolute"`);
    if (!isEmpty(this.raw.pruned_heads))
      this.unsupported.push(`pruned_heads: got ${show(this.raw.pruned_heads)}, expected none`);
    if (!isEmpty(this.raw.quantization_config))
      this.unsupported.push('quantization_config: got one, expected weights that are not quantized');
  }

  private head(classPrefix: string): Head | null {
    const { architectures } = this.raw;
    const [name] = Array.isArray(architectures) && architectures.length === 1 ? architectures : [];
    const head = HEADS.find((candidate) => name === `${classPrefix}For${candidate}`);
    if (head !== undefined) return head;
    const expected = HEADS.map((candidate) => `${classPrefix}For${candidate}`).join(', ');
    this.unsupported.push(`architectures: got ${show(architectures)}, expected one of ${expected}`);
    return null;
  }

  /** Label names by class id; transformers' own names where the config has none. */
  private labels(): string[] {
    const { id2label, num_labels: given } = this.raw;
    if (id2label === undefined || id2label === null) {
      const count = this.wholeNumber('num_labels', { absent: 2, most: MAX_LABELS });
      return Array.from({ length: count }, (_, id) => `LABEL_${id}`);
    }
    const names = typeof id2label === 'object' ? Object.entries(id2label) : [];
    const labels: string[] = [];
    for (const [id, name] of names) {
      if (Number(id) < names.length && String(Number(id)) === id && (typeof name === 'string' || Number.isFinite(name)))
        labels[Number(id)] = String(name);
      else
        this.malformed.push(`id2label: got ${show({ [id]: name })}, expected ids 0 to ${names.length - 1} and names`);
    }
    if (names.length === 0) this.malformed.push(`id2label: got ${show(id2label)}, expected at least one label`);
    if (given !== undefined && given !== null && given !== names.length)
      this.malformed.push(`num_labels: got ${show(given)}, expected ${names.length} as in id2label`);
    return labels;
  }

  private task(head: Head, labelCount: number): TaskKind {
    if (head === 'TokenClassification') return 'token-classification';
    if (head === 'QuestionAnswering') {
      if (labelCount !== 2)
        this.unsupported.push(`num_labels: got ${labelCount}, expected 2 (start and end) for question answering`);
      return 'question-answering';
    }
    const problem = this.raw.problem_type ?? (labelCount === 1 ? 'regression' : 'single_label_classification');
    if (problem === 'regression') return 'regression';
    if (problem === 'multi_label_classification') return 'multi-label-classification';
    if (problem !== 'single_label_classification')
      this.malformed.push(
        `problem_type: got ${show(problem)}, expected single_label_classification, multi_label_classification or regression`,
      );
    else if (labelCount === 1) this.malformed.push(`problem_type: got "${problem}" with 1 label, expected at least 2`);
    return 'single-label-classification';
  }

  /** Kept heads and neurons by layer: from the "espalier" key of a model pruned here, else everything. */
  private pruned(headSize: number, layers: number, heads: number, neurons: number) {
    const key = this.raw.espalier;
    if (key === undefined)
      return { headsByLayer: Array(layers).fill(heads), neuronsByLayer: Array(layers).fill(neurons) };
    const given = (typeof key === 'object' && key !== null ? key : {}) as Record<string, unknown>;
    if (given.schema !== 1) this.unsupported.push(`espalier.schema: got ${show(given.schema)}, expected 1`);
    if (given.head_size !== headSize)
      this.malformed.push(`espalier.head_size: got ${show(given.head_size)}, expected ${headSize}`);
    return {
      headsByLayer: this.counts('heads', given.heads, layers, heads),
      neuronsByLayer: this.counts('neurons', given.neurons, layers, neurons),
    };
  }

  private counts(field: string, value: unknown, layers: number, most: number): number[] {
    const fits = (count: unknown) => Number.isSafeInteger(count) && (count as number) >= 0 && (count as number) <= most;
    if (Array.isArray(value) && value.length === layers && value.every(fits)) return value;
    this.malformed.push(`espalier.${field}: got ${show(value)}, expected ${layers} whole numbers from 0 to ${most}`);
    return [];
  }
}

function parseObject(text: string, source: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new EspalierError(
      'model_format',
      `${source}: got no JSON (${(cause as Error).message}), expected an object`,
      {
        cause,
      },
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new EspalierError('model_format', `${source}: got JSON that is no object, expected one`);
  return parsed as Record<string, unknown>;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}

function show(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}
