// One sub-layer of a teacher and of its student, step by step: features, outputs before LayerNorm, next hidden states.
import type { SubLayer } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { Forward } from '../model/forward.ts';
import { type DeviceStretch, overBatches } from './stretch.ts';

/** Place of a sub-layer in the order in which they run: 2·layer, +1 for the FFN. */
export function stepOf(layer: number, subLayer: SubLayer): number {
  return 2 * layer + (subLayer === 'ffn' ? 1 : 0);
}

/** Inverse of `stepOf`. */
export function subLayerOf(step: number): { layer: number; subLayer: SubLayer } {
  return { layer: Math.floor(step / 2), subLayer: step % 2 === 0 ? 'attention' : 'ffn' };
}

/** What the output projection multiplies: contexts of the kept heads [positions, heads·d] or activations of the kept
 * neurons [rows, neurons]; null where nothing is kept.
 * @param x input of the sub-layer, [positions, D] of the stretch; of an FFN any rows of it. */
export function features(
  forward: Forward,
  weights: EncoderWeights,
  step: number,
  x: DeviceTensor,
  stretch: DeviceStretch,
): DeviceTensor | null {
  const { ops } = forward;
  const { layer, subLayer } = subLayerOf(step);
  const own = weights.layers[layer];
  if (subLayer === 'ffn') return forward.ffn(weights, own, x)?.a ?? null;
  if (own.heads === 0) return null;
  return overBatches(ops, stretch, ({ batch, rowPositions }) => {
    const padded = rowPositions === null ? x : ops.gather(x, rowPositions);
    const pass = forward.attention(own, padded, padded, batch);
    if (pass === null)
      throw new EspalierError('internal', `layer ${layer}: got no attention, expected ${own.heads} heads`);
    return pass.context;
  });
}

/** Output before LayerNorm with the residual: features · W + bias + x. */
export function output(
  forward: Forward,
  weights: EncoderWeights,
  step: number,
  found: DeviceTensor | null,
  x: DeviceTensor,
): DeviceTensor {
  const { layer, subLayer } = subLayerOf(step);
  const own = weights.layers[layer];
  return subLayer === 'ffn' ? forward.ffnOutput(own, found, x) : forward.attentionOutput(own, found, x);
}

/** Bias and residual alone: what the student's features add to. */
export function base(forward: Forward, weights: EncoderWeights, step: number, x: DeviceTensor): DeviceTensor {
  return output(forward, weights, step, null, x);
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

/** LayerNorm after the sub-layer: the next sub-layer's input. */
export function normalize(forward: Forward, weights: EncoderWeights, step: number, y: DeviceTensor): DeviceTensor {
  const { layer, subLayer } = subLayerOf(step);
  const own = weights.layers[layer];
  return forward.layerNorm(y, subLayer === 'ffn' ? own.ffnNorm : own.attentionNorm, weights.config.layerNormEps);
}

/** Kernel of the output projection, [features, D]; null where nothing is kept. */
export function projection(weights: EncoderWeights, step: number): DeviceTensor | null {
  const { layer, subLayer } = subLayerOf(step);
  return subLayer === 'ffn' ? weights.layers[layer].ffnOut : weights.layers[layer].attentionOutput;
}
