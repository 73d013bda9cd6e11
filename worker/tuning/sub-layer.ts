// One sub-layer of a teacher and of its student, step by step: features, what they add to the output, next hidden states.
import { subLayerOf } from '../../pruning/sub-layers.ts';
import { firstRows } from '../engine/aligned-columns.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { Forward } from '../model/forward.ts';
import { type DeviceStretch, overBatches, paddedRows } from './stretch.ts';

/** What the output projection multiplies: contexts of the kept heads [positions, heads·d] or activations of the kept
 * neurons, on a GPU with columns that fill up ([rows, columns] of LayerWeights); null where nothing is kept.
 * @param x input of the sub-layer, [positions, D] of the stretch; of an FFN any rows of it. */
export function features(
  forward: Forward,
  weights: EncoderWeights,
  step: number,
  x: DeviceTensor,
  stretch: DeviceStretch,
): DeviceTensor | null {
  const { ops, kernels } = forward;
  const { layer, subLayer } = subLayerOf(step);
  const own = weights.layers[layer];
  if (subLayer === 'ffn') return forward.ffn(weights, own, x)?.a ?? null;
  const { attentionIn, heads } = own;
  if (attentionIn === null) return null;
  const { kernel, bias } = attentionIn;
  return ops.engine.scope(() => {
    // Query, key and value of positions alone. Where attention wants padding, that gets those of some position.
    const product = ops.matMul(x, kernel); // [positions, 3·heads·d]
    if (kernels.attendsUnpadded(weights.config.headSize))
      return kernels.attention({ query: product, keyValue: null }, bias, stretch.samples, heads).context;
    const queries = paddedRows(ops, stretch, product);
    return overBatches(ops, stretch, (batch, index) => {
      const products = { query: queries[index], keyValue: null };
      return kernels.attention(products, bias, batch, heads).context;
    });
  });
}

/** What features add to the output: features · W, [rows, D]; null where there are none. */
export function contribution(
  forward: Forward,
  weights: EncoderWeights,
  step: number,
  found: DeviceTensor | null,
): DeviceTensor | null {
  const kernel = projection(weights, step);
  return found === null || kernel === null ? null : forward.ops.matMul(found, kernel);
}

/** The next sub-layer's input, LayerNorm(added + bias + x).
 * @param added what features add, [rows, D]; null: nothing. @param x input of the sub-layer, its residual. */
export function nextStates(
  forward: Forward,
  weights: EncoderWeights,
  step: number,
  added: DeviceTensor | null,
  x: DeviceTensor,
): DeviceTensor {
  const { layer, subLayer } = subLayerOf(step);
  const { attentionBias, attentionNorm, ffnBias, ffnNorm } = weights.layers[layer];
  const [bias, norm] = subLayer === 'ffn' ? [ffnBias, ffnNorm] : [attentionBias, attentionNorm];
  const [sum, residual] = added === null ? [x, null] : [added, x];
  return forward.kernels.addNorm(sum, bias, residual, norm, weights.config.layerNormEps).y;
}

/** Columns of `features` that count. */
export function featureCount({ layers, config }: EncoderWeights, step: number): number {
  const { layer, subLayer } = subLayerOf(step);
  const { heads, neurons } = layers[layer];
  return subLayer === 'ffn' ? neurons : heads * config.headSize;
}

/** Kernel of the output projection without rows that fill up, [features, D]; null where nothing is kept. It belongs to the scope
 * that is open, or stays the weights' own. */
export function keptProjection(ops: Ops, weights: EncoderWeights, step: number): DeviceTensor | null {
  const kernel = projection(weights, step);
  return kernel && firstRows(ops, kernel, featureCount(weights, step));
}

/** Kernel of the output projection, as many rows as `features` has columns; null where nothing is kept. */
export function projection(weights: EncoderWeights, step: number): DeviceTensor | null {
  const { layer, subLayer } = subLayerOf(step);
  return subLayer === 'ffn' ? weights.layers[layer].ffnOut : weights.layers[layer].attentionOutput;
}
