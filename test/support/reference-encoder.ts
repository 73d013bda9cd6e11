// A BERT, DistilBERT or RoBERTa encoder in float64 plain JavaScript, one sample at a time, with the gradients of its
// masks by a backward written out by hand. Tests of the engine compare with it where no other program's numbers exist.
// Layers may be pruned, also down to nothing.

import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import {
  activate,
  addInto,
  layerNorm,
  layerNormBackward,
  linear,
  linearBackward,
  type Norm,
  softmax,
} from './reference-math.ts';

/** One sample; padded positions, if any, have an attention mask of 0. */
export interface EncoderInput {
  readonly ids: readonly number[];
  readonly attentionMask: readonly number[];
  readonly typeIds: readonly number[];
}

/** What multiplies each head's context and each neuron's activation: [layers * heads], [layers * neurons]. */
export interface MaskValues {
  readonly heads: Float64Array;
  readonly neurons: Float64Array;
}

export interface EncoderGradients extends MaskValues {
  /** Of every sub-layer's output before its LayerNorm, [tokens, D]; attention of a layer before its FFN. */
  readonly outputs: readonly Float64Array[];
}

/** What one sub-layer computed. */
export interface SubLayerTrace {
  /** Input, which is also the residual: [tokens, D]. */
  readonly input: Float64Array;
  /** Contexts [tokens, heads * headSize] or activations [tokens, neurons], before the mask. */
  readonly features: Float64Array;
  /** Residual + bias + projection, before the LayerNorm: [tokens, D]. */
  readonly output: Float64Array;
}

interface AttentionTrace extends SubLayerTrace {
  readonly query: Float64Array;
  readonly key: Float64Array;
  readonly value: Float64Array;
  /** [heads][tokens, tokens] */
  readonly shares: readonly Float64Array[];
}

interface FfnTrace extends SubLayerTrace {
  /** Derivative of the activation, [tokens, neurons]. */
  readonly slopes: Float64Array;
}

export interface EncoderTrace {
  readonly attention: readonly AttentionTrace[];
  readonly ffn: readonly FfnTrace[];
  /** [tokens, D] */
  readonly lastHidden: Float64Array;
  /** First token's hidden state after the head's dense layer and activation; null where there is none. */
  readonly pooled: Float64Array | null;
  /** [outputs], or [tokens, outputs] where the task is by token. */
  readonly logits: Float64Array;
}

export class ReferenceEncoder {
  readonly config: ModelConfig;
  private readonly weights: ReadonlyMap<string, Float64Array>;

  /** @param weights by canonical name (checkpoint/weight-names.ts). */
  constructor(config: ModelConfig, weights: ReadonlyMap<string, Float64Array>) {
    this.config = config;
    this.weights = weights;
  }

  static async load(directory: string): Promise<ReferenceEncoder> {
    const checkpoint = await openCheckpoint(directory);
    const weights = new Map<string, Float64Array>();
    for (const name of checkpoint.weights.keys()) weights.set(name, Float64Array.from(await checkpoint.tensor(name)));
    await checkpoint.close();
    return new ReferenceEncoder(checkpoint.config, weights);
  }

  weight(name: string): Float64Array {
    const weight = this.weights.get(name);
    if (!weight) throw new Error(`no weight ${name}`);
    return weight;
  }

  openMasks(): MaskValues {
    const { layers, heads, intermediateSize } = this.config;
    return {
      heads: new Float64Array(layers * heads).fill(1),
      neurons: new Float64Array(layers * intermediateSize).fill(1),
    };
  }

  forward(input: EncoderInput, masks: MaskValues = this.openMasks()): EncoderTrace {
    const attention: AttentionTrace[] = [];
    const ffn: FfnTrace[] = [];
    let hidden = this.embed(input);
    for (let layer = 0; layer < this.config.layers; layer++) {
      attention.push(this.attention(layer, hidden, input, masks));
      hidden = layerNorm(attention[layer].output, this.norm(`layers.${layer}.attention_norm`));
      ffn.push(this.ffn(layer, hidden, masks));
      hidden = layerNorm(ffn[layer].output, this.norm(`layers.${layer}.ffn_norm`));
    }
    const pooled = this.pool(hidden);
    const logits = this.dense('head.output', pooled ?? hidden, this.config.hiddenSize);
    return { attention, ffn, lastHidden: hidden, pooled, logits };
  }

  /** Gradients of a loss with respect to the masks. @param logitGradient dloss / dlogits at `trace`. */
  maskGradients(trace: EncoderTrace, logitGradient: Float64Array, masks: MaskValues = this.openMasks()): MaskValues {
    const { heads, neurons } = this.gradients(trace, logitGradient, masks);
    return { heads, neurons };
  }

  /** Gradients of a loss with respect to the masks and to every sub-layer's output. */
  gradients(trace: EncoderTrace, logitGradient: Float64Array, masks: MaskValues = this.openMasks()): EncoderGradients {
    const { layers } = this.config;
    const gradients: MaskValues = { heads: masks.heads.map(() => 0), neurons: masks.neurons.map(() => 0) };
    const outputs: Float64Array[] = [];
    let dHidden = this.headBackward(trace, logitGradient);
    for (let layer = layers - 1; layer >= 0; layer--) {
      const { output } = trace.ffn[layer];
      dHidden = layerNormBackward(dHidden, output, this.norm(`layers.${layer}.ffn_norm`));
      outputs.unshift(dHidden);
      dHidden = this.ffnBackward(layer, trace.ffn[layer], dHidden, masks, gradients);
      dHidden = layerNormBackward(dHidden, trace.attention[layer].output, this.norm(`layers.${layer}.attention_norm`));
      outputs.unshift(dHidden);
      dHidden = this.attentionBackward(layer, trace.attention[layer], dHidden, masks, gradients);
    }
    return { ...gradients, outputs };
  }

  private embed(input: EncoderInput): Float64Array {
    const { hiddenSize, positionOffset, typeVocabularySize, padTokenId } = this.config;
    const sum = new Float64Array(input.ids.length * hiddenSize);
    const addRow = (token: number, table: string, row: number) => {
      const weight = this.weight(table);
      for (let i = 0; i < hiddenSize; i++) sum[token * hiddenSize + i] += weight[row * hiddenSize + i];
    };
    let seen = 0;
    input.ids.forEach((id, token) => {
      addRow(token, 'embeddings.word', id);
      // RoBERTa counts what is not padding, from padding id + 1 on; padding itself has the padding id's row.
      if (positionOffset === 0) addRow(token, 'embeddings.position', token);
      else addRow(token, 'embeddings.position', id === padTokenId ? padTokenId : positionOffset + seen++);
      if (typeVocabularySize > 0) addRow(token, 'embeddings.type', input.typeIds[token]);
    });
    return layerNorm(sum, this.norm('embeddings.norm'));
  }

  private attention(layer: number, hidden: Float64Array, input: EncoderInput, masks: MaskValues): AttentionTrace {
    const { hiddenSize, headSize } = this.config;
    const heads = this.config.headsByLayer[layer];
    const tokens = input.ids.length;
    const width = heads * headSize;
    const [query, key, value] = ['query', 'key', 'value'].map((name) =>
      this.dense(`layers.${layer}.${name}`, hidden, hiddenSize),
    );
    const features = new Float64Array(tokens * width);
    const shares: Float64Array[] = [];
    for (let head = 0; head < heads; head++) {
      const all = new Float64Array(tokens * tokens);
      for (let from = 0; from < tokens; from++) {
        const scores = Float64Array.from(input.attentionMask, (open, to) => {
          if (open === 0) return Number.NEGATIVE_INFINITY;
          let score = 0;
          for (let c = head * headSize; c < (head + 1) * headSize; c++)
            score += query[from * width + c] * key[to * width + c];
          return score / Math.sqrt(headSize);
        });
        all.set(softmax(scores).shares, from * tokens);
        for (let to = 0; to < tokens; to++)
          for (let c = head * headSize; c < (head + 1) * headSize; c++)
            features[from * width + c] += all[from * tokens + to] * value[to * width + c];
      }
      shares.push(all);
    }
    const masked = features.map((context, at) => context * this.headMask(layer, at % width, masks));
    const output = this.project(`layers.${layer}.attention_output`, masked, width, hidden);
    return { input: hidden, features, output, query, key, value, shares };
  }

  private attentionBackward(
    layer: number,
    trace: AttentionTrace,
    dOutput: Float64Array,
    masks: MaskValues,
    gradients: MaskValues,
  ): Float64Array {
    const { hiddenSize, headSize, heads } = this.config;
    const width = this.config.headsByLayer[layer] * headSize;
    const tokens = dOutput.length / hiddenSize;
    const dContext = linearBackward(dOutput, this.weight(`layers.${layer}.attention_output.weight`), width, hiddenSize);
    dContext.forEach((value, at) => {
      const column = at % width;
      gradients.heads[layer * heads + Math.floor(column / headSize)] += value * trace.features[at];
      dContext[at] = value * this.headMask(layer, column, masks);
    });
    const [dQuery, dKey, dValue] = [0, 1, 2].map(() => new Float64Array(tokens * width));
    const { query, key, value } = trace;
    trace.shares.forEach((shares, head) => {
      for (let from = 0; from < tokens; from++) {
        const dShares = new Float64Array(tokens);
        for (let to = 0; to < tokens; to++)
          for (let c = head * headSize; c < (head + 1) * headSize; c++) {
            dShares[to] += dContext[from * width + c] * value[to * width + c];
            dValue[to * width + c] += shares[from * tokens + to] * dContext[from * width + c];
          }
        const mean = dShares.reduce((sum, d, to) => sum + d * shares[from * tokens + to], 0);
        for (let to = 0; to < tokens; to++) {
          const dScore = (shares[from * tokens + to] * (dShares[to] - mean)) / Math.sqrt(headSize);
          for (let c = head * headSize; c < (head + 1) * headSize; c++) {
            dQuery[from * width + c] += dScore * key[to * width + c];
            dKey[to * width + c] += dScore * query[from * width + c];
          }
        }
      }
    });
    const dInput = dOutput.slice();
    for (const [name, d] of [
      ['query', dQuery],
      ['key', dKey],
      ['value', dValue],
    ] as const)
      addInto(dInput, linearBackward(d, this.weight(`layers.${layer}.${name}.weight`), hiddenSize, width));
    return dInput;
  }

  private ffn(layer: number, hidden: Float64Array, masks: MaskValues): FfnTrace {
    const { hiddenSize, activation, intermediateSize } = this.config;
    const width = this.config.neuronsByLayer[layer];
    const before = this.dense(`layers.${layer}.ffn_in`, hidden, hiddenSize);
    const activated = Array.from(before, (x) => activate(activation, x));
    const features = Float64Array.from(activated, ({ value }) => value);
    const slopes = Float64Array.from(activated, ({ slope }) => slope);
    const masked = features.map((value, at) => value * masks.neurons[layer * intermediateSize + (at % width)]);
    const output = this.project(`layers.${layer}.ffn_out`, masked, width, hidden);
    return { input: hidden, features, output, slopes };
  }

  private ffnBackward(
    layer: number,
    trace: FfnTrace,
    dOutput: Float64Array,
    masks: MaskValues,
    gradients: MaskValues,
  ): Float64Array {
    const { hiddenSize, intermediateSize } = this.config;
    const width = this.config.neuronsByLayer[layer];
    const d = linearBackward(dOutput, this.weight(`layers.${layer}.ffn_out.weight`), width, hiddenSize);
    d.forEach((value, at) => {
      const neuron = layer * intermediateSize + (at % width);
      gradients.neurons[neuron] += value * trace.features[at];
      d[at] = value * masks.neurons[neuron] * trace.slopes[at];
    });
    return addInto(dOutput.slice(), linearBackward(d, this.weight(`layers.${layer}.ffn_in.weight`), hiddenSize, width));
  }

  private pool(hidden: Float64Array): Float64Array | null {
    const { task, hiddenSize, modelType } = this.config;
    if (task === 'question-answering' || task === 'token-classification') return null;
    const dense = this.dense('head.dense', hidden.slice(0, hiddenSize), hiddenSize);
    return dense.map((x) => (modelType === 'distilbert' ? Math.max(0, x) : Math.tanh(x)));
  }

  private headBackward(trace: EncoderTrace, logitGradient: Float64Array): Float64Array {
    const { hiddenSize, outputs, modelType } = this.config;
    const { pooled, lastHidden } = trace;
    const d = linearBackward(logitGradient, this.weight('head.output.weight'), hiddenSize, outputs);
    if (pooled === null) return d;
    const slope = (y: number) => (modelType === 'distilbert' ? Number(y > 0) : 1 - y * y);
    const dFirst = linearBackward(
      d.map((value, i) => value * slope(pooled[i])),
      this.weight('head.dense.weight'),
      hiddenSize,
      hiddenSize,
    );
    const dHidden = new Float64Array(lastHidden.length);
    dHidden.set(dFirst);
    return dHidden;
  }

  private dense(name: string, x: Float64Array, inputs: number): Float64Array {
    return linear(x, this.weight(`${name}.weight`), this.weight(`${name}.bias`), inputs);
  }

  /** residual + bias + x·Wᵀ; an empty x leaves the first two. */
  private project(name: string, x: Float64Array, inputs: number, residual: Float64Array): Float64Array {
    const { hiddenSize } = this.config;
    const bias = this.weight(`${name}.bias`);
    if (inputs === 0) return residual.map((value, at) => value + bias[at % hiddenSize]);
    return addInto(this.dense(name, x, inputs), residual);
  }

  private headMask(layer: number, column: number, masks: MaskValues): number {
    return masks.heads[layer * this.config.heads + Math.floor(column / this.config.headSize)];
  }

  private norm(name: string): Norm {
    return { gain: this.weight(`${name}.weight`), shift: this.weight(`${name}.bias`), eps: this.config.layerNormEps };
  }
}
