// How much memory a model and a micro-batch of it take on a device: what a plan's tokens a batch are chosen by. Counted from
// what worker/model keeps of a layer; test/integration/engine/batch-memory.test.ts holds it against TensorFlow's allocator.
import type { ModelConfig } from '../checkpoint/model-config.ts';

const FLOAT_BYTES = 4;
const DOUBLE_BYTES = 8;

/** Of a device's memory, what models, states and micro-batches may fill together. The rest is for what the allocator loses:
 * it takes memory in pieces that double, and shapes that come and go leave gaps between them. */
export const USABLE_SHARE = 0.75;

/** Layers' worth of saved tensors that work on one layer takes besides, at most: with plain operations every step of a
 * formula is a tensor. Measured are 4.2 to 4.6 and 1.2 to 1.9 for gradients, 1.9 to 3.3 and 1.4 to 2.1 for all else. */
const WORKING_LAYERS = { plain: 5, fused: 3 };

/** "gradients": forward and backward, every layer's tensors are kept in between; "forward": evaluation and tuning. */
export type Pass = 'gradients' | 'forward';

type Sizes = Pick<ModelConfig, 'layers' | 'hiddenSize' | 'heads' | 'headSize' | 'intermediateSize' | 'activation'>;
type AllSizes = Sizes & Pick<ModelConfig, 'vocabularySize' | 'maxTokens' | 'typeVocabularySize'>;

/** Bytes that a padded token takes on the device, at most. @param kernels as the device class names them.
 * @param longest tokens of the longest sample: attention's probabilities grow with it. */
export function tokenBytes(config: Sizes, kernels: string, pass: Pass, longest: number): number {
  const { layers, hiddenSize, heads, headSize, intermediateSize } = config;
  const isFused = kernels === 'fused';
  // Query, key, value, context; the input of both LayerNorms; the FFN's input, and with plain operations the activation and
  // what its gradient reads; probabilities.
  const activations = isFused ? 1 : config.activation === 'relu' ? 2 : 3;
  const saved = 4 * heads * headSize + 2 * hiddenSize + activations * intermediateSize + heads * longest;
  const working = isFused ? WORKING_LAYERS.fused : WORKING_LAYERS.plain;
  return (working + (pass === 'gradients' ? layers : 0)) * saved * FLOAT_BYTES;
}

/** Bytes that stay on the device beside states and micro-batches: the dense model, as much again for its pruned forms, and
 * the sums of the widest sub-layer that is tuned. */
export function fixedBytes(config: AllSizes): number {
  const { layers, hiddenSize, heads, headSize, intermediateSize } = config;
  const rows = config.vocabularySize + config.maxTokens + config.typeVocabularySize;
  const matrices = 4 * heads * headSize * hiddenSize + 2 * hiddenSize * intermediateSize;
  const model = (rows * hiddenSize + layers * matrices) * FLOAT_BYTES;
  return 2 * model + 4 * Math.max(hiddenSize, intermediateSize) ** 2 * DOUBLE_BYTES;
}
