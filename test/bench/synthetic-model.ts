// Models of a given shape with seeded random weights, and samples of given lengths for them: what a benchmark needs of a
// model is its shape.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readModelConfig } from '../../checkpoint/read-config.ts';
import { weightSpecs } from '../../checkpoint/weight-names.ts';
import { type RandomStream, randomStream } from '../../pruning/random.ts';
import { writeSafetensors } from '../../shared/safetensors.ts';
import { elementCount } from '../../shared/tensor.ts';

const WORDS = 30517;
const DEVIATION = 0.02;
/** Weights that are drawn; those of a larger model are these again and again. A prime, so that no rows are equal, and more than a
 * layer's matrix of BERT-large has. */
const DRAWN_WEIGHTS = 5_000_011;

/** Sizes of a model, and what its head predicts. */
export interface SyntheticModel {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly neurons: number;
  readonly head: 'SequenceClassification' | 'QuestionAnswering';
}

/** Lengths of samples in tokens: round(exp(N(mean, deviation))) within least and most. */
export interface LengthDistribution {
  readonly mean: number;
  readonly deviation: number;
  readonly least: number;
  readonly most: number;
}

export const BERT_BASE: SyntheticModel = {
  layers: 12,
  hiddenSize: 768,
  heads: 12,
  neurons: 3072,
  head: 'SequenceClassification',
};

export const MNLI_LENGTHS: LengthDistribution = { mean: 3.55, deviation: 0.45, least: 8, most: 128 };
export const SQUAD_LENGTHS: LengthDistribution = { mean: 5.05, deviation: 0.38, least: 40, most: 384 };

/** [CLS], and [SEP] after each text. */
const SPECIAL_TOKENS = { sentence: 2, question: 3 };
const QUESTION_WORDS = 8;
const MOST_ANSWER_WORDS = 4;

/** Writes a folder of BERT-base's shape: config, float32 weights (438 MB), a vocabulary of made-up words. */
export function writeBertBase(folder: string, seed: number): Promise<void> {
  return writeSyntheticModel(folder, BERT_BASE, seed);
}

/** The same with other sizes or another head. */
export async function writeSyntheticModel(folder: string, model: SyntheticModel, seed: number): Promise<void> {
  const config = {
    architectures: [`BertFor${model.head}`],
    model_type: 'bert',
    hidden_act: 'gelu',
    hidden_size: model.hiddenSize,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    intermediate_size: model.neurons,
    vocab_size: WORDS + 5,
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    ...(model.head === 'SequenceClassification' && { num_labels: 3 }),
  };
  const text = JSON.stringify(config, null, 2);
  const drawn = new DrawnWeights(randomStream(seed, 'weights'));
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'config.json'), text);
  await writeFile(
    path.join(folder, 'vocab.txt'),
    `${['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...Array.from({ length: WORDS }, (_, i) => word(i))].join('\n')}\n`,
  );
  await writeSafetensors(
    path.join(folder, 'model.safetensors'),
    weightSpecs(readModelConfig(text, folder)).map(({ name, storedName, shape }) => ({
      name: storedName,
      dtype: 'F32' as const,
      shape,
      read: () => bytesOf(weights(name, elementCount(shape), drawn)),
    })),
    { format: 'pt' },
  );
}

/** Writes labelled samples, where nothing else is said with the lengths of MNLI. */
export function writeTexts(file: string, count: number, seed: number, lengths = MNLI_LENGTHS): Promise<void> {
  const random = randomStream(seed, 'texts');
  return writeLines(file, count, () => {
    const words = drawLength(random, lengths) - SPECIAL_TOKENS.sentence;
    const sentence = drawWords(random, words).join(' ');
    return { sentence, label: random.integer(3) };
  });
}

/** Writes questions with contexts and answers anywhere in them, in the shape of SQuAD; question and context together have
 * the lengths of SQuAD's windows. */
export function writeQuestions(file: string, count: number, seed: number): Promise<void> {
  const random = randomStream(seed, 'questions');
  return writeLines(file, count, () => {
    const tokens = drawLength(random, SQUAD_LENGTHS) - SPECIAL_TOKENS.question;
    const question = drawWords(random, QUESTION_WORDS).join(' ');
    const words = drawWords(random, tokens - QUESTION_WORDS);
    const answerWords = 1 + random.integer(MOST_ANSWER_WORDS);
    const first = random.integer(words.length - answerWords + 1);
    const start = words.slice(0, first).reduce((sum, before) => sum + before.length + 1, 0);
    const answer = words.slice(first, first + answerWords).join(' ');
    return { question, context: words.join(' '), answers: { text: [answer], answer_start: [start] } };
  });
}

async function writeLines(file: string, count: number, draw: () => unknown): Promise<void> {
  const lines = Array.from({ length: count }, () => JSON.stringify(draw()));
  await writeFile(file, `${lines.join('\n')}\n`);
}

function drawLength(random: RandomStream, { mean, deviation, least, most }: LengthDistribution): number {
  return Math.min(most, Math.max(least, Math.round(Math.exp(mean + deviation * normal(random)))));
}

function drawWords(random: RandomStream, count: number): string[] {
  return Array.from({ length: count }, () => word(random.integer(WORDS)));
}

// Words of letters alone, so that none is split.
function word(index: number): string {
  const letters = [0, 1, 2, 3].map((place) => String.fromCharCode(97 + (Math.floor(index / 26 ** place) % 26)));
  return letters.join('');
}

/** Random weights, one after the other. */
class DrawnWeights {
  readonly #random: RandomStream;
  readonly #drawn = new Float32Array(DRAWN_WEIGHTS);
  #count = 0;
  #next = 0;

  constructor(random: RandomStream) {
    this.#random = random;
  }

  fill(values: Float32Array): Float32Array {
    for (let at = 0; at < values.length; ) {
      const end = Math.min(DRAWN_WEIGHTS, this.#next + values.length - at);
      for (; this.#count < end; this.#count++) this.#drawn[this.#count] = DEVIATION * normal(this.#random);
      values.set(this.#drawn.subarray(this.#next, end), at);
      at += end - this.#next;
      this.#next = end % DRAWN_WEIGHTS;
    }
    return values;
  }
}

function weights(name: string, count: number, drawn: DrawnWeights): Float32Array {
  if (name.endsWith('norm.weight')) return new Float32Array(count).fill(1);
  if (name.endsWith('.bias')) return new Float32Array(count);
  return drawn.fill(new Float32Array(count));
}

function normal(random: RandomStream): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
