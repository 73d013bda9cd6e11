// The gradient of a sample's loss with respect to the mask variables, layer by layer from the last to the first. Written
// by hand: automatic differentiation in tfjs is many times slower (docs/adr/0002-engine.md), and no weight gradient is ever needed.
import type { DeviceTensor } from '../engine/engine.ts';
import type { DeviceBatch } from './device-batch.ts';
import type { EncoderWeights } from './encoder-weights.ts';
import type { Forward, LayerPass } from './forward.ts';

export interface LayerGradients {
  /** ∂loss/∂head mask of each sample, [b, heads]; null where no head is left. */
  readonly heads: DeviceTensor | null;
  /** ∂loss/∂neuron mask of each sample, [b, neurons]; null where no neuron is left. */
  readonly neurons: DeviceTensor | null;
  /** Gradient of the layer's input [b·n, D]; null for layer 0, where nobody reads it. */
  readonly input: DeviceTensor | null;
}

/** Backward pass of one layer.
 * @param gradient of the layer's output, [b·queries, D].
 * @param batch the micro-batch that the pass was made of.
 * @returns tensors of the scope that is open. */
export function layerBackward(
  forward: Forward,
  weights: EncoderWeights,
  index: number,
  pass: LayerPass,
  gradient: DeviceTensor,
  batch: DeviceBatch,
): LayerGradients {
  const { ops, kernels } = forward;
  const layer = weights.layers[index]!;
  const { samples, tokens } = batch;
  const queries = gradient.shape[0]! / samples;

  // FFN: y = LN(a·W + b + x1), the mask multiplies a.
  const beforeNorm = kernels.layerNormGrad(gradient, layer.ffnNorm, pass.ffnNorm);
  let middle = beforeNorm;
  let neurons: DeviceTensor | null = null;
  if (pass.ffn !== null && layer.ffnIn !== null && layer.ffnOut !== null) {
    const da = ops.matMul(beforeNorm, layer.ffnOut, false, true); // [b·queries, neurons]
    neurons = ops.sum(ops.reshape(ops.mul(da, pass.ffn.a), [samples, queries, layer.neurons]), [1]);
    const dh = kernels.activationGrad(weights.config.activation, da, pass.ffn.h, pass.ffn.saved);
    middle = ops.add(ops.matMul(dh, layer.ffnIn.kernel, false, true), beforeNorm);
  }

  // Attention: y = LN(c·W + b + x), the mask multiplies a head's context c.
  const d1 = kernels.layerNormGrad(middle, layer.attentionNorm, pass.attentionNorm); // [b·queries, D]
  const { attention } = pass;
  let heads: DeviceTensor | null = null;
  let dc: DeviceTensor | null = null;
  if (attention !== null && layer.attentionOutput !== null) {
    const merged = ops.matMul(d1, layer.attentionOutput, false, true);
    dc = forward.split(merged, samples, queries, layer.heads, weights.config.headSize); // [b, heads, queries, d]
    heads = ops.sum(ops.mul(dc, attention.context), [2, 3]);
  }
  if (index === 0) return { heads, neurons, input: null };

  const fromQueries: DeviceTensor[] = [d1];
  const fromAll: DeviceTensor[] = [];
  if (attention !== null && dc !== null) {
    const dv = ops.batchMatMul(attention.probabilities, dc, true, false); // [b, heads, n, d]
    const dp = ops.batchMatMul(dc, attention.value, false, true);
    const ds = kernels.softmaxGrad(attention.probabilities, dp); // [b, heads, queries, n]
    const dq = ops.batchMatMul(ds, attention.key);
    const dk = ops.batchMatMul(ds, attention.query, true, false);
    fromQueries.push(ops.matMul(forward.merge(dq), layer.query!.kernel, false, true));
    fromAll.push(ops.matMul(forward.merge(dk), layer.key!.kernel, false, true));
    fromAll.push(ops.matMul(forward.merge(dv), layer.value!.kernel, false, true));
  }
  const asked = fromQueries.length === 1 ? d1 : ops.addN(fromQueries);
  const spread = queries === tokens ? asked : spreadFirst(forward, asked, samples, tokens);
  const input = fromAll.length === 0 ? spread : ops.addN([...fromAll, spread]);
  return { heads, neurons, input };
}

// Gradients of first tokens [b, D] to their places in [b·n, D], zero elsewhere.
function spreadFirst(forward: Forward, gradient: DeviceTensor, samples: number, tokens: number): DeviceTensor {
  const { ops } = forward;
  const size = gradient.shape[1]!;
  const padded = ops.pad(ops.reshape(gradient, [samples, 1, size]), [
    [0, 0],
    [0, tokens - 1],
    [0, 0],
  ]);
  return ops.reshape(padded, [samples * tokens, size]);
}
