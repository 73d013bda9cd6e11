// A model of a given shape whose weights are made up, in no file: what warms an engine up is its shape.
import { readModelConfig } from '../../checkpoint/read-config.ts';
import { weightSpecs } from '../../checkpoint/weight-names.ts';
import { randomStream } from '../../pruning/random.ts';
import { elementCount } from '../../shared/tensor.ts';
import type { LocalModel, ModelSource } from './local-model.ts';

export interface MadeUpShape {
  readonly layers: number;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly neurons: number;
  readonly vocabulary: number;
  readonly positions: number;
}

const SOURCE = 'made-up model';
const DEVIATION = 0.04;
/** Numbers that weights repeat: a prime, so that no two rows of a matrix are equal. */
const NUMBERS = 8191;

/** What of config.json says which head a model has. */
export interface MadeUpHead {
  readonly model_type: 'bert' | 'distilbert';
  readonly architectures: readonly [string];
  readonly problem_type?: string;
}

const CLASSIFIER: MadeUpHead = { model_type: 'bert', architectures: ['BertForSequenceClassification'] };

/** A model of two outputs, as a task names it. */
export function madeUpModel(
  { layers, hiddenSize, heads, neurons, vocabulary, positions }: MadeUpShape,
  head: MadeUpHead = CLASSIFIER,
): LocalModel {
  const shape =
    head.model_type === 'bert'
      ? {
          ...{ hidden_act: 'gelu', hidden_size: hiddenSize, num_hidden_layers: layers },
          ...{ num_attention_heads: heads, intermediate_size: neurons },
        }
      : { activation: 'gelu', dim: hiddenSize, n_layers: layers, n_heads: heads, hidden_dim: neurons };
  const config = {
    ...head,
    ...shape,
    vocab_size: vocabulary,
    max_position_embeddings: positions,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    num_labels: 2,
  };
  return { configJson: JSON.stringify(config), weights: [] };
}

/** Opens it. */
export async function openMadeUpModel({ configJson }: LocalModel): Promise<ModelSource> {
  const config = readModelConfig(configJson, SOURCE);
  const shapes = new Map(weightSpecs(config).map(({ name, shape }) => [name, shape]));
  const random = randomStream(0, SOURCE);
  const numbers = Float32Array.from({ length: NUMBERS }, () => DEVIATION * (2 * random.uniform() - 1));
  const shape = (name: string) => shapes.get(name)!;
  return {
    config,
    shape,
    tensorSync(name, target = new Float32Array(elementCount(shape(name)))) {
      if (name.endsWith('norm.weight')) return target.fill(1);
      for (let at = 0; at < target.length; at += NUMBERS) target.set(numbers.subarray(0, target.length - at), at);
      return target;
    },
    async close() {},
  };
}
