// The forward pass of one encoder layer and of the embeddings (post-LayerNorm: BERT, DistilBERT, RoBERTa). Hidden states
// are [b·n, D]. Tensors belong to the scope that is open.
import type { DeviceTensor } from '../engine/engine.ts';
import type { ActivationResult, Kernels, NormResult } from '../engine/kernels.ts';
import type { Ops } from '../engine/ops.ts';
import type { DeviceBatch } from './device-batch.ts';
import type { EncoderWeights, LayerWeights, Linear } from './encoder-weights.ts';

export interface AttentionPass {
  /** [b, heads, queries, d] */
  readonly query: DeviceTensor;
  /** [b, heads, n, d] */
  readonly key: DeviceTensor;
  /** [b, heads, n, d] */
  readonly value: DeviceTensor;
  /** Softmax of the scores, [b, heads, queries, n]. */
  readonly probabilities: DeviceTensor;
  /** Before the heads are merged, [b, heads, queries, d]. */
  readonly context: DeviceTensor;
}

export interface FfnPass extends ActivationResult {
  /** Input of the activation, [rows, neurons]. */
  readonly h: DeviceTensor;
}

/** What the backward pass of a layer reads. */
export interface LayerPass {
  readonly attention: AttentionPass | null;
  readonly attentionNorm: Omit<NormResult, 'y'>;
  readonly ffn: FfnPass | null;
  readonly ffnNorm: Omit<NormResult, 'y'>;
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

  /** Hidden states that enter layer 0, [b·n, D]. */
  embed(weights: EncoderWeights, batch: DeviceBatch): DeviceTensor {
    const { ops } = this;
    const { hiddenSize, positionOffset, layerNormEps } = weights.config;
    const { samples, tokens } = batch;
    let x = ops.gather(weights.words, batch.tokenIds);
    x = ops.add(x, ops.slice(weights.positions, [positionOffset, 0], [tokens, hiddenSize]));
    if (weights.types !== null) x = ops.add(x, ops.gather(weights.types, batch.typeIds));
    return this.kernels.layerNorm(ops.reshape(x, [samples * tokens, hiddenSize]), weights.embeddingNorm, layerNormEps)
      .y;
  }

  /** x·kernel + bias, [rows, out]. */
  linear(x: DeviceTensor, { kernel, bias }: Linear): DeviceTensor {
    return this.ops.biasAdd(this.ops.matMul(x, kernel), bias);
  }

  /** Rows of hidden states that ask: [b·queries, D]. */
  queryRows(x: DeviceTensor, batch: DeviceBatch, queries: Queries): DeviceTensor {
    return queries === 'all' || batch.tokens === 1 ? x : this.ops.gather(x, batch.firstRows);
  }

  /** Attention of the heads that are left, up to their contexts; null where none is.
   * @param x [b·n, D] @param asking [b·queries, D], rows of x. */
  attention(
    weights: EncoderWeights,
    layer: LayerWeights,
    x: DeviceTensor,
    asking: DeviceTensor,
    batch: DeviceBatch,
  ): AttentionPass | null {
    if (layer.query === null || layer.key === null || layer.value === null) return null;
    const { ops } = this;
    const size = weights.config.headSize;
    const queries = asking.shape[0]! / batch.samples;
    const query = this.split(this.linear(asking, layer.query), batch.samples, queries, layer.heads, size);
    const key = this.split(this.linear(x, layer.key), batch.samples, batch.tokens, layer.heads, size);
    const value = this.split(this.linear(x, layer.value), batch.samples, batch.tokens, layer.heads, size);
    let scores = ops.batchMatMul(query, key, false, true); // [b, heads, queries, n]
    if (batch.paddingBias !== null) scores = ops.add(scores, batch.paddingBias);
    const probabilities = ops.softmax(scores);
    return { query, key, value, probabilities, context: ops.batchMatMul(probabilities, value) };
  }

  /** Attention sub-layer's output before LayerNorm, [b·queries, D]: merged contexts · W + bias + residual. */
  attentionOutput(layer: LayerWeights, contexts: DeviceTensor | null, residual: DeviceTensor): DeviceTensor {
    const base = this.ops.biasAdd(residual, layer.attentionBias);
    if (contexts === null || layer.attentionOutput === null) return base;
    return this.ops.add(this.ops.matMul(contexts, layer.attentionOutput), base);
  }

  /** Activations of the neurons that are left, [rows, neurons]; null where none is. */
  ffn(weights: EncoderWeights, layer: LayerWeights, x: DeviceTensor): FfnPass | null {
    if (layer.ffnIn === null) return null;
    const h = this.linear(x, layer.ffnIn);
    return { h, ...this.kernels.activation(weights.config.activation, h) };
  }

  /** FFN sub-layer's output before LayerNorm, [rows, D]. */
  ffnOutput(layer: LayerWeights, activations: DeviceTensor | null, residual: DeviceTensor): DeviceTensor {
    const base = this.ops.biasAdd(residual, layer.ffnBias);
    if (activations === null || layer.ffnOut === null) return base;
    return this.ops.add(this.ops.matMul(activations, layer.ffnOut), base);
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
    const attention = this.attention(weights, layer, x, asking, batch);
    const contexts = attention === null ? null : this.merge(attention.context);
    const first = this.kernels.layerNorm(
      this.attentionOutput(layer, contexts, asking),
      layer.attentionNorm,
      layerNormEps,
    );
    const ffn = this.ffn(weights, layer, first.y);
    const second = this.kernels.layerNorm(this.ffnOutput(layer, ffn?.a ?? null, first.y), layer.ffnNorm, layerNormEps);
    return { x: second.y, pass: { attention, attentionNorm: savedOf(first), ffn, ffnNorm: savedOf(second) } };
  }

  /** [b·n, heads·d] → [b, heads, n, d] */
  split(x: DeviceTensor, samples: number, tokens: number, heads: number, size: number): DeviceTensor {
    return this.ops.transpose(this.ops.reshape(x, [samples, tokens, heads, size]), [0, 2, 1, 3]);
  }

  /** [b, heads, n, d] → [b·n, heads·d] */
  merge(x: DeviceTensor): DeviceTensor {
    const [samples, heads, tokens, size] = x.shape as [number, number, number, number];
    return this.ops.reshape(this.ops.transpose(x, [0, 2, 1, 3]), [samples * tokens, heads * size]);
  }
}

function savedOf({ normalized, inverseDeviation }: NormResult): Omit<NormResult, 'y'> {
  return { normalized, inverseDeviation };
}

/** Which rows of the last layer reach the head of this model. */
export function lastQueries(weights: EncoderWeights): Queries {
  return weights.headDense === null ? 'all' : 'first';
}
