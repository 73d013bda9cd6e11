// The forward pass of one encoder layer and of the embeddings (post-LayerNorm: BERT, DistilBERT, RoBERTa). Hidden states
// are [rows, D], of b·n rows or without padding. Tensors belong to the scope that is open.
import type { DeviceTensor } from '../engine/engine.ts';
import type {
  ActivationResult,
  AttentionProducts,
  AttentionResult,
  Kernels,
  NormResult,
  NormWeights,
  Saved,
} from '../engine/kernels/kernels.ts';
import type { Ops } from '../engine/ops.ts';
import type { DeviceBatch } from './device-batch.ts';
import type { EncoderWeights, LayerWeights, Linear } from './encoder-weights.ts';

/** What the backward pass of a layer reads. */
export interface LayerPass {
  /** null where no head is left. */
  readonly attention: Saved | null;
  readonly attentionNorm: Saved;
  /** null where no neuron is left. */
  readonly ffn: Saved | null;
  readonly ffnNorm: Saved;
}

/** Which rows ask: all tokens, or each sample's first alone (the last layer of a sequence classifier, where nothing else
 * reaches the head). */
export type Queries = 'all' | 'first';

export class Forward {
  readonly ops: Ops;
  readonly kernels: Kernels;

  constructor(ops: Ops, kernels: Kernels) {
    this.ops = ops;
    this.kernels = kernels;
  }

  /** Hidden states that enter layer 0, [rows, D]. */
  embed(weights: EncoderWeights, batch: DeviceBatch): DeviceTensor {
    const { ops } = this;
    const { layerNormEps } = weights.config;
    let x = this.placedWords(weights, batch);
    if (weights.types !== null) x = ops.add(x, ops.gather(weights.types, batch.typeIds));
    return this.layerNorm(x, weights.embeddingNorm, layerNormEps);
  }

  private placedWords(weights: EncoderWeights, { samples, tokens, tokenIds, unpadded }: DeviceBatch): DeviceTensor {
    const { ops } = this;
    const { hiddenSize, positionOffset } = weights.config;
    const words = ops.gather(weights.words, tokenIds);
    if (unpadded !== null) return ops.add(words, ops.gather(weights.positions, unpadded.positions));
    const positions = ops.slice(weights.positions, [positionOffset, 0], [tokens, hiddenSize]);
    const placed = ops.add(ops.reshape(words, [samples, tokens, hiddenSize]), positions);
    return ops.reshape(placed, [samples * tokens, hiddenSize]);
  }

  /** x·kernel + bias, [rows, out]. */
  linear(x: DeviceTensor, { kernel, bias }: Linear): DeviceTensor {
    return this.ops.biasAdd(this.ops.matMul(x, kernel), bias);
  }

  /** Rows of hidden states that ask: [b·queries, D]. */
  queryRows(x: DeviceTensor, batch: DeviceBatch, queries: Queries): DeviceTensor {
    return queries === 'all' || batch.tokens === 1 ? x : this.ops.gather(x, batch.firstRows);
  }

  /** Rows of x to mean 0 and variance 1, then gamma and beta. @param x [rows, D] */
  layerNorm(x: DeviceTensor, weights: NormWeights, epsilon: number): DeviceTensor {
    return this.kernels.addNorm(x, null, null, weights, epsilon).y;
  }

  /** Attention of the heads that are left, up to their contexts; null where none is.
   * @param x [rows, D] @param asking all of them, or of each sample's first token, [b, D]. */
  attention(layer: LayerWeights, x: DeviceTensor, asking: DeviceTensor, batch: DeviceBatch): AttentionResult | null {
    if (layer.attentionIn === null) return null;
    const products = this.attentionProducts(layer.attentionIn, x, asking, batch);
    return this.kernels.attention(products, layer.attentionIn.bias, batch, layer.heads);
  }

  // One product where all rows ask. Where few do, the kernel is cut for them each time: its copy is small beside a product.
  private attentionProducts(
    { kernel }: Linear,
    x: DeviceTensor,
    asking: DeviceTensor,
    { unpadded }: DeviceBatch,
  ): AttentionProducts {
    const { ops } = this;
    if (asking === x) return { query: ops.matMul(x, kernel), keyValue: null };
    const { query, keyValue } = this.attentionKernels(kernel);
    const product = ops.matMul(x, keyValue);
    // Batched products, which few queries take, want padding.
    const padded = unpadded === null ? product : ops.gather(product, unpadded.paddedRows);
    return { query: ops.matMul(asking, query), keyValue: padded };
  }

  /** Kernels of the query [D, heads·d] and of key and value [D, 2·heads·d]. */
  attentionKernels(kernel: DeviceTensor): { query: DeviceTensor; keyValue: DeviceTensor } {
    const { ops } = this;
    const width = kernel.shape[1]! / 3;
    return { query: ops.slice(kernel, [0, 0], [-1, width]), keyValue: ops.slice(kernel, [0, width], [-1, 2 * width]) };
  }

  /** Activations of the neurons that are left, [rows, neurons]; null where none is. */
  ffn(weights: EncoderWeights, layer: LayerWeights, x: DeviceTensor): ActivationResult | null {
    if (layer.ffnIn === null) return null;
    const product = this.ops.matMul(x, layer.ffnIn.kernel);
    return this.kernels.activation(weights.config.activation, product, layer.ffnIn.bias);
  }

  /** One whole layer. @returns the next hidden states [b·queries, D] and what its gradient needs. */
  layer(
    weights: EncoderWeights,
    index: number,
    x: DeviceTensor,
    batch: DeviceBatch,
    queries: Queries,
  ): { x: DeviceTensor; pass: LayerPass } {
    const layer = weights.layers[index]!;
    const { layerNormEps } = weights.config;
    const asking = this.queryRows(x, batch, queries);
    const attention = this.attention(layer, x, asking, batch);
    const first = this.addProjected(attention?.context ?? null, layer.attentionOutput, asking, {
      bias: layer.attentionBias,
      norm: layer.attentionNorm,
      epsilon: layerNormEps,
    });
    const ffn = this.ffn(weights, layer, first.y);
    const second = this.addProjected(ffn?.a ?? null, layer.ffnOut, first.y, {
      bias: layer.ffnBias,
      norm: layer.ffnNorm,
      epsilon: layerNormEps,
    });
    return {
      x: second.y,
      pass: {
        attention: attention?.saved ?? null,
        attentionNorm: first.saved,
        ffn: ffn?.saved ?? null,
        ffnNorm: second.saved,
      },
    };
  }

  // LayerNorm(features · W + bias + residual); without features the last two alone.
  private addProjected(
    features: DeviceTensor | null,
    kernel: DeviceTensor | null,
    residual: DeviceTensor,
    { bias, norm, epsilon }: { bias: DeviceTensor; norm: NormWeights; epsilon: number },
  ): NormResult {
    if (features === null || kernel === null) return this.kernels.addNorm(residual, bias, null, norm, epsilon);
    return this.kernels.addNorm(this.ops.matMul(features, kernel), bias, residual, norm, epsilon);
  }
}

/** Which rows of the last layer reach the head of this model. */
export function lastQueries(weights: EncoderWeights): Queries {
  return weights.headDense === null ? 'all' : 'first';
}
