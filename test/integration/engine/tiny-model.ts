// Tiny models of every architecture, head and activation with random weights, as folders, and random samples for them.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { readModelConfig } from '../../../checkpoint/read-config.ts';
import { weightSpecs } from '../../../checkpoint/weight-names.ts';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import { elementCount } from '../../../shared/tensor.ts';
import type { LocalModel } from '../../../worker/model/local-model.ts';
import { localModel } from '../../support/engine.ts';
import { type EncoderInput, type MaskValues, ReferenceEncoder } from '../../support/reference-encoder.ts';

export const LAYERS = 3;
export const HEADS = 3;
export const NEURONS = 20;
const HIDDEN = 24;
/** With it heads have a size that attention without padding has kernels for. */
export const WIDE_HIDDEN = 32 * HEADS;

export interface TinyModel {
  readonly folder: string;
  readonly model: LocalModel;
  readonly config: ModelConfig;
  /** The same weights in float64. */
  readonly encoder: ReferenceEncoder;
}

type Architecture = 'Bert' | 'DistilBert' | 'Roberta';

/** Writes a model of three layers into a folder that is removed after the test. Weights are large enough that attention
 * is far from uniform and every activation is used on both sides of 0. */
export async function tinyModel(
  test: TestContext,
  architecture: Architecture,
  head: 'SequenceClassification' | 'TokenClassification' | 'QuestionAnswering',
  fields: { activation?: string; labels?: number; problem?: string; hidden?: number } = {},
): Promise<TinyModel> {
  const folder = await temporaryFolder(test);
  const distil = architecture === 'DistilBert';
  const { hidden = HIDDEN } = fields;
  const raw = {
    architectures: [`${architecture}For${head}`],
    model_type: architecture.toLowerCase(),
    ...(distil
      ? { activation: fields.activation ?? 'gelu', dim: hidden, n_layers: LAYERS, n_heads: HEADS, hidden_dim: NEURONS }
      : {
          hidden_act: fields.activation ?? 'gelu',
          hidden_size: hidden,
          num_hidden_layers: LAYERS,
          num_attention_heads: HEADS,
          intermediate_size: NEURONS,
          type_vocab_size: 2,
          layer_norm_eps: 1e-5,
        }),
    vocab_size: 37,
    max_position_embeddings: 34,
    pad_token_id: architecture === 'Roberta' ? 1 : 0,
    num_labels: head === 'QuestionAnswering' ? 2 : (fields.labels ?? 3),
    ...(fields.problem === undefined ? {} : { problem_type: fields.problem }),
  };
  const config = readModelConfig(JSON.stringify(raw), 'tiny model');
  const random = randomStream(7, `${architecture}${head}`);
  // Sums over more inputs are no larger.
  const spread = 0.8 * Math.sqrt(HIDDEN / hidden);
  const tensors = weightSpecs(config).map(({ name, storedName, shape }) => {
    const isNorm = name.includes('norm') && name.endsWith('.weight');
    const data = new Float32Array(elementCount(shape)).map(() => (random.uniform() - 0.5) * spread + (isNorm ? 1 : 0));
    return { name: storedName, dtype: 'F32' as const, shape, data };
  });
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(raw));
  await writeFile(path.join(folder, 'model.safetensors'), encodeSafetensors(tensors));
  return { folder, config, model: await localModel(folder), encoder: await ReferenceEncoder.load(folder) };
}

export async function temporaryFolder(test: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-engine-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Samples of the given lengths, without the padding id, with targets of the model's task. */
export function randomSamples(config: ModelConfig, lengths: readonly number[]): EncodedSample[] {
  const random = randomStream(11, 'samples');
  return lengths.map((length) => {
    const draw = (make: () => number, count = length) => Array.from({ length: count }, make);
    const ids = draw(() => config.padTokenId + 1 + random.integer(config.vocabularySize - config.padTokenId - 1));
    const types = draw(() => (config.typeVocabularySize > 0 ? random.integer(2) : 0));
    const target = () => {
      switch (config.task) {
        case 'single-label-classification':
          return [random.integer(config.outputs)];
        case 'multi-label-classification':
          return draw(() => random.integer(2), config.outputs);
        case 'regression':
          return draw(() => Math.fround(random.uniform() * 2 - 1), config.outputs);
        case 'token-classification':
          return draw(() => (random.uniform() < 0.3 ? -100 : random.integer(config.outputs)));
        case 'question-answering':
          return draw(() => random.integer(length), 2);
      }
    };
    return {
      tokenIds: Int32Array.from(ids),
      typeIds: Uint8Array.from(types),
      target: Float32Array.from(target()),
    };
  });
}

/** A sample as the reference encoder takes it: without padding. */
export function encoderInput({ tokenIds, typeIds }: EncodedSample): EncoderInput {
  return { ids: [...tokenIds], typeIds: [...typeIds], attentionMask: new Array(tokenIds.length).fill(1) };
}

/** What the masks multiply by: 0 where pruned, the scale elsewhere. */
export function maskValues({ headMask, headScales, neuronMask, neuronScales }: Masks): MaskValues {
  return {
    heads: Float64Array.from(headMask, (bit, i) => (bit === 0 ? 0 : headScales[i])),
    neurons: Float64Array.from(neuronMask, (bit, i) => (bit === 0 ? 0 : neuronScales[i])),
  };
}

/** Masks that keep about half of everything, always something in each layer; scales 1. */
export function halfMasks(name: string): Masks {
  const random = randomStream(3, name);
  const masks = denseMasks(LAYERS, HEADS, NEURONS);
  for (let layer = 0; layer < LAYERS; layer++) {
    masks.headMask[layer * HEADS + random.integer(HEADS)] = 0;
    for (let neuron = 1; neuron < NEURONS; neuron++)
      masks.neuronMask[layer * NEURONS + neuron] = Number(random.uniform() < 0.5);
  }
  return masks;
}

/** The same masks with scales between -0.5 and 2.5. */
export function withRandomScales(masks: Masks): Masks {
  const random = randomStream(5, 'scales');
  const draw = (scales: Float32Array) => scales.map(() => random.uniform() * 3 - 0.5);
  return { ...masks, headScales: draw(masks.headScales), neuronScales: draw(masks.neuronScales) };
}

/** Masks with what is kept in each layer. */
export function keeping(heads: readonly number[][], neurons: readonly number[][]): Masks {
  const masks = denseMasks(LAYERS, HEADS, NEURONS);
  masks.headMask.fill(0);
  masks.neuronMask.fill(0);
  for (let layer = 0; layer < LAYERS; layer++) {
    for (const head of heads[layer]) masks.headMask[layer * HEADS + head] = 1;
    for (const neuron of neurons[layer]) masks.neuronMask[layer * NEURONS + neuron] = 1;
  }
  return masks;
}
