// A model of BERT-base's shape with seeded random weights, and texts of given lengths for it: what a benchmark needs of
// a model is its shape.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readModelConfig } from '../../checkpoint/read-config.ts';
import { weightSpecs } from '../../checkpoint/weight-names.ts';
import { type RandomStream, randomStream } from '../../pruning/random.ts';
import { writeSafetensors } from '../../shared/safetensors.ts';
import { elementCount } from '../../shared/tensor.ts';

const WORDS = 30517;
const DEVIATION = 0.02;

/** Writes the folder: config, float32 weights (438 MB), a vocabulary of made-up words. */
export async function writeBertBase(folder: string, seed: number): Promise<void> {
  const config = {
    architectures: ['BertForSequenceClassification'],
    model_type: 'bert',
    hidden_act: 'gelu',
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    vocab_size: WORDS + 5,
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    num_labels: 3,
  };
  const text = JSON.stringify(config, null, 2);
  const random = randomStream(seed, 'weights');
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
      read: () => bytesOf(weights(name, elementCount(shape), random)),
    })),
    { format: 'pt' },
  );
}

/** Writes samples whose lengths are drawn like those of MNLI: round(exp(N(3.55, 0.45))) tokens within 8 and 128. */
export async function writeTexts(file: string, count: number, seed: number): Promise<void> {
  const random = randomStream(seed, 'texts');
  const lines = Array.from({ length: count }, () => {
    const tokens = Math.min(128, Math.max(8, Math.round(Math.exp(3.55 + 0.45 * normal(random)))));
    const sentence = Array.from({ length: tokens - 2 }, () => word(random.integer(WORDS))).join(' ');
    return JSON.stringify({ sentence, label: random.integer(3) });
  });
  await writeFile(file, `${lines.join('\n')}\n`);
}

// Words of letters alone, so that none is split.
function word(index: number): string {
  const letters = [0, 1, 2, 3].map((place) => String.fromCharCode(97 + (Math.floor(index / 26 ** place) % 26)));
  return letters.join('');
}

function weights(name: string, count: number, random: RandomStream): Float32Array {
  if (name.endsWith('norm.weight')) return new Float32Array(count).fill(1);
  if (name.endsWith('.bias')) return new Float32Array(count);
  return Float32Array.from({ length: count }, () => DEVIATION * normal(random));
}

function normal(random: RandomStream): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
