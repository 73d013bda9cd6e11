// Small Hugging Face model folders: the fixtures' weights or random ones, with a tokenizer of 61 tokens beside them. Every
// tokenizer reads the same made-up words (see toy-data.ts): BERT and DistilBERT by WordPiece, RoBERTa by byte-level BPE,
// XLM-R by Unigram.
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readModelConfig } from '../../checkpoint/read-config.ts';
import { weightSpecs } from '../../checkpoint/weight-names.ts';
import { randomStream } from '../../pruning/random.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { encodeSafetensors } from '../../shared/safetensors.ts';
import { elementCount, type NamedTensor } from '../../shared/tensor.ts';

export const TOY_SYLLABLES = ['b', 'd', 'g', 'k', 'm', 'n', 's'].flatMap((start) =>
  ['a', 'e', 'i', 'o'].map((end) => start + end),
);
const LETTERS = [...new Set(TOY_SYLLABLES.join(''))].sort();
export const TOY_VOCABULARY_SIZE = 61;

const BERT_SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const ROBERTA_SPECIALS = ['<s>', '<pad>', '</s>', '<unk>', '<mask>'];

export interface ToyShape {
  readonly layers?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly neurons?: number;
  /** Longest input in tokens. */
  readonly positions?: number;
}

export interface ToyModel extends ToyShape {
  readonly modelType?: 'bert' | 'distilbert' | 'roberta' | 'xlm-roberta' | 'camembert';
  readonly head?: 'SequenceClassification' | 'TokenClassification' | 'QuestionAnswering';
  readonly labels?: readonly string[];
  readonly problemType?: 'regression' | 'multi_label_classification';
  readonly seed?: number;
}

const CLASS_PREFIXES = {
  bert: 'Bert',
  distilbert: 'DistilBert',
  roberta: 'Roberta',
  'xlm-roberta': 'XLMRoberta',
  camembert: 'Camembert',
} as const;

/** Writes a model with random weights. @returns the folder. */
export async function writeToyModel(folder: string, model: ToyModel = {}): Promise<string> {
  const configText = toyConfigText(model);
  const config = readModelConfig(configText, 'toy model');
  const random = randomStream(model.seed ?? 1, 'toy model');
  const tensors = weightSpecs(config).map(({ name, storedName, shape }): NamedTensor => {
    const data = new Float32Array(elementCount(shape));
    const norm = name.endsWith('norm.weight');
    // Large enough that heads and neurons differ in what they do and logits in what they say.
    const spread = name.startsWith('embeddings.') || shape.length === 1 ? 0.5 : 2.5 / Math.sqrt(shape[1]);
    for (let i = 0; i < data.length; i++) data[i] = (norm ? 1 : 0) + spread * (random.uniform() + random.uniform() - 1);
    return { name: storedName, dtype: 'F32', shape: [...shape], data };
  });
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'config.json'), configText);
  await writeFile(path.join(folder, 'model.safetensors'), encodeSafetensors(tensors));
  await writeToyTokenizer(folder, config.modelType);
  return folder;
}

/** Copies a model of test/fixtures and gives it a tokenizer. @returns the folder. */
export async function writeFixtureModel(folder: string, fixture: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const file of ['config.json', 'model.safetensors'])
    await cp(path.join(projectRoot(), 'test/fixtures', fixture, file), path.join(folder, file));
  const { model_type: modelType } = JSON.parse(await readFile(path.join(folder, 'config.json'), 'utf8'));
  await writeToyTokenizer(folder, modelType);
  return folder;
}

function toyConfigText({
  modelType = 'bert',
  head = 'SequenceClassification',
  labels,
  problemType,
  ...shape
}: ToyModel): string {
  const { layers = 2, hidden = 24, heads = 3, neurons = 40, positions = 32 } = shape;
  const robertas = modelType !== 'bert' && modelType !== 'distilbert';
  const sizes =
    modelType === 'distilbert'
      ? { dim: hidden, n_heads: heads, n_layers: layers, hidden_dim: neurons, activation: 'gelu' }
      : {
          hidden_size: hidden,
          num_attention_heads: heads,
          num_hidden_layers: layers,
          intermediate_size: neurons,
          hidden_act: 'gelu',
          type_vocab_size: robertas ? 1 : 2,
          layer_norm_eps: 1e-12,
        };
  const config = {
    model_type: modelType,
    architectures: [`${CLASS_PREFIXES[modelType]}For${head}`],
    ...sizes,
    vocab_size: TOY_VOCABULARY_SIZE,
    max_position_embeddings: positions + (robertas ? 2 : 0),
    pad_token_id: robertas ? 1 : 0,
    ...(labels && { id2label: Object.fromEntries(labels.map((label, id) => [id, label])) }),
    ...(problemType && { problem_type: problemType }),
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

async function writeToyTokenizer(folder: string, modelType: string): Promise<void> {
  if (modelType === 'bert' || modelType === 'distilbert') {
    const tokens = [...BERT_SPECIALS, ...TOY_SYLLABLES, ...TOY_SYLLABLES.map((syllable) => `##${syllable}`)];
    await writeFile(path.join(folder, 'vocab.txt'), `${tokens.join('\n')}\n`);
    return;
  }
  const json = modelType === 'roberta' ? byteLevelBpe() : unigram();
  await writeFile(path.join(folder, 'tokenizer.json'), JSON.stringify(json));
}

function byteLevelBpe(): object {
  const tokens = [...ROBERTA_SPECIALS, 'Ġ', ...LETTERS, ...TOY_SYLLABLES];
  return {
    ...robertaParts(),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: 'RobertaProcessing',
      sep: ['</s>', 2],
      cls: ['<s>', 0],
      trim_offsets: true,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: TOY_SYLLABLES.map((syllable) => syllable.split('')),
    },
  };
}

function unigram(): object {
  const pieces = ['▁', ...LETTERS, ...TOY_SYLLABLES];
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const [start, end] = ['<s>', '</s>'].map(special);
  return {
    ...robertaParts(),
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    post_processor: {
      type: 'TemplateProcessing',
      single: [start, text('A'), end],
      pair: [start, text('A'), end, end, text('B'), end],
      special_tokens: {
        '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] },
        '</s>': { id: '</s>', ids: [2], tokens: ['</s>'] },
      },
    },
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    model: {
      type: 'Unigram',
      unk_id: 3,
      vocab: [
        ...ROBERTA_SPECIALS.map((token) => [token, 0]),
        // Scores are log-likelihoods: a syllable costs less than its letters.
        ...pieces.map((piece) => [piece, piece.length === 2 ? -3 : -5]),
      ],
      byte_fallback: false,
    },
  };
}

function robertaParts(): object {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    normalizer: null,
    added_tokens: ROBERTA_SPECIALS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: content === '<mask>',
      rstrip: false,
      normalized: false,
      special: true,
    })),
  };
}
