// The gradient of a sample's loss with respect to the mask variables, layer by layer from the last to the first. Written
// by hand: automatic differentiation in tfjs is many times slower (docs/adr/0002-engine.md), and no weight gradient is ever needed.
import { firstColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { AttentionProducts } from '../engine/kernels/kernels.ts';
import type { Ops } from '../engine/ops.ts';
import type { DeviceBatch } from './device-batch.ts';
import type { EncoderWeights } from './encoder-weights.ts';
import type { Forward, LayerPass } from './forward.ts';

/** A gradient as the sum of one or two tensors: whoever reads it adds them on the way, without an operation for it. */
export interface GradientTerms {
  readonly dy: DeviceTensor;
  /** null: there is but one. */
  readonly dy2: DeviceTensor | null;
}

export interface LayerGradients {
  /** ∂loss/∂head mask of each sample, [b, heads]; null where no head is left. */
  readonly heads: DeviceTensor | null;
  /** ∂loss/∂neuron mask of each sample, [b, neurons]; null where no neuron is left. */
  readonly neurons: DeviceTensor | null;
  /** Gradient of the layer's input [rows, D]; null for layer 0, where nobody reads it. */
  readonly input: GradientTerms | null;
  /** Of the outputs of attention and FFN before their LayerNorm, |∂loss/∂output|² of each row, [b·queries, 1]; null unless
   * asked for. */
  readonly squaredLengths: readonly [attention: DeviceTensor, ffn: DeviceTensor] | null;
}

/** Backward pass of one layer.
 * @param gradient of the layer's output, [b·queries, D].
 * @param batch the micro-batch that the pass was made of.
 * @param wantsLengths make `squaredLengths`.
 * @returns tensors of the scope that is open. */
export function layerBackward(
  forward: Forward,
  weights: EncoderWeights,
  index: number,
  pass: LayerPass,
  gradient: GradientTerms,
  batch: DeviceBatch,
  wantsLengths = false,
): LayerGradients {
  const { ops, kernels } = forward;
  const layer = weights.layers[index]!;
  const { samples } = batch;

  // FFN: y = LN(a·W + b + x1), the mask multiplies a.
  const beforeNorm = kernels.addNormGrad(gradient.dy, gradient.dy2, layer.ffnNorm, pass.ffnNorm);
  let throughFfn: DeviceTensor | null = null;
  let neurons: DeviceTensor | null = null;
  if (pass.ffn !== null && layer.ffnIn !== null && layer.ffnOut !== null) {
    const da = ops.matMul(beforeNorm, layer.ffnOut, false, true); // [b·queries, neurons]
    const extents = batch.unpadded === null || da.shape[0] === samples ? null : batch.extents;
    const found = kernels.activationGrad(weights.config.activation, da, layer.ffnIn.bias, pass.ffn, samples, extents);
    neurons = firstColumns(ops, found.mask, layer.neurons);
    throughFfn = ops.matMul(found.product, layer.ffnIn.kernel, false, true);
  }

  // Attention: y = LN(c·W + b + x), the mask multiplies a head's context c.
  const d1 = kernels.addNormGrad(beforeNorm, throughFfn, layer.attentionNorm, pass.attentionNorm); // [b·queries, D]
  const squaredLengths = wantsLengths
    ? ([kernels.squaredLengths(d1), kernels.squaredLengths(beforeNorm)] as const)
    : null;
  const wantsInput = index > 0;
  let heads: DeviceTensor | null = null;
  let products: AttentionProducts | null = null;
  if (pass.attention !== null && layer.attentionIn !== null && layer.attentionOutput !== null) {
    const dcontext = ops.matMul(d1, layer.attentionOutput, false, true); // [b·queries, heads·d]
    const { bias } = layer.attentionIn;
    const found = kernels.attentionGrad(dcontext, bias, pass.attention, batch, layer.heads, wantsInput);
    heads = found.mask;
    products = found.products;
  }
  if (!wantsInput) return { heads, neurons, squaredLengths, input: null };
  const spread = (x: DeviceTensor) => (x.shape[0] === batch.rows ? x : spreadFirst(forward.ops, x, batch));
  const found = { heads, neurons, squaredLengths };
  if (products === null || layer.attentionIn === null) return { ...found, input: { dy: spread(d1), dy2: null } };
  const { kernel } = layer.attentionIn;
  if (products.keyValue === null)
    return { ...found, input: { dy: ops.matMul(products.query, kernel, false, true), dy2: d1 } };
  const own = forward.attentionKernels(kernel);
  const asked = ops.add(ops.matMul(products.query, own.query, false, true), d1);
  // At padding they are 0.
  const keyValue = batch.unpadded === null ? products.keyValue : ops.gather(products.keyValue, batch.unpadded.places);
  return { ...found, input: { dy: ops.matMul(keyValue, own.keyValue, false, true), dy2: spread(asked) } };
}

/** Of first tokens [b, D] to their places in [rows, D], zero elsewhere. */
export function spreadFirst(
  ops: Ops,
  gradient: DeviceTensor,
  { samples, tokens, unpadded }: DeviceBatch,
): DeviceTensor {
  const size = gradient.shape[1]!;
  if (unpadded !== null) {
    const withZeros = ops.pad(gradient, [
      [0, 1],
      [0, 0],
    ]);
    return ops.gather(withZeros, unpadded.firstOf);
  }
  const padded = ops.pad(ops.reshape(gradient, [samples, 1, size]), [
    [0, 0],
    [0, tokens - 1],
    [0, 0],
  ]);
  return ops.reshape(padded, [samples * tokens, size]);
}
