// The forward pass of a model as an ONNX graph of standard operators, opset 17: what worker/model computes, with the
// weights as they are stored. b is the batch, n the tokens; both are free.
import { EspalierError } from '../../shared/errors.ts';
import type { ModelConfig } from '../model-config.ts';
import { hasHeadDense, headActivation, weightSpecs } from '../weight-names.ts';
import { GraphBuilder, type OnnxPort } from './graph-builder.ts';
import { elementType } from './schema.ts';

/** Opset of the graph: the first with LayerNormalization. */
export const OPSET = 17;

// As the engine has it: exp() of a masked score is exactly 0 in float32.
const MASKED = -1e9;

export interface EncoderGraph {
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly builder: GraphBuilder;
}

const BATCH_TOKENS = ['batch', 'tokens'] as const;

/** What a model's graph is fed, each int64 [batch, tokens]: input_ids, attention_mask (1 a token, 0 padding) and, where
 * the model knows more than one type of token, token_type_ids. */
export function onnxInputs(config: Pick<ModelConfig, 'typeVocabularySize'>): OnnxPort[] {
  const names = ['input_ids', 'attention_mask', ...(config.typeVocabularySize > 1 ? ['token_type_ids'] : [])];
  return names.map((name) => ({ name, dtype: 'I64', axes: BATCH_TOKENS }));
}

/** What it gives, float32: start_logits and end_logits [batch, tokens] for question answering, else logits, [batch,
 * tokens, outputs] for token classification and [batch, outputs] for the others. */
export function onnxOutputs(config: Pick<ModelConfig, 'task' | 'outputs'>): OnnxPort[] {
  const port = (name: string, axes: OnnxPort['axes']): OnnxPort => ({ name, dtype: 'F32', axes });
  if (config.task === 'question-answering')
    return [port('start_logits', BATCH_TOKENS), port('end_logits', BATCH_TOKENS)];
  const byToken = config.task === 'token-classification';
  return [port('logits', [...(byToken ? BATCH_TOKENS : ['batch']), config.outputs])];
}

export interface EncoderGraphOptions {
  /** Of the stored matrices; everything is computed in float32. */
  readonly dtype: 'F32' | 'F16';
  /** The last layer computes every token even where the head reads first ones alone, as graphs do that were traced from
   * PyTorch. The same logits, slower. */
  readonly everyToken?: boolean;
}

/** The graph of a model, dense or pruned. A sub-layer with nothing left adds its output bias only. */
export function encoderGraph(config: ModelConfig, { dtype, everyToken = false }: EncoderGraphOptions): EncoderGraph {
  const builder = new GraphBuilder(dtype);
  const graph = new EncoderNodes(config, builder, everyToken);
  let hidden = graph.embeddings();
  const bias = graph.paddingBias();
  for (let layer = 0; layer < config.layers; layer++) hidden = graph.ffn(layer, graph.attention(layer, hidden, bias));
  graph.head(hidden);
  return { inputs: onnxInputs(config), outputs: onnxOutputs(config), builder };
}

/** Hidden states are [b, n, D]. */
class EncoderNodes {
  private readonly config: ModelConfig;
  private readonly builder: GraphBuilder;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** The last layer computes first tokens alone. */
  private readonly firstOnly: boolean;

  constructor(config: ModelConfig, builder: GraphBuilder, everyToken: boolean) {
    this.config = config;
    this.builder = builder;
    this.firstOnly = hasHeadDense(config) && !everyToken;
    this.shapes = new Map(weightSpecs(config).map(({ name, shape }) => [name, shape]));
  }

  /** Sum of word, position and type vectors, normalized. */
  embeddings(): string {
    const { builder: g, config } = this;
    const word = g.toFloat32(g.add('Gather', 'embeddings/words', [this.table('embeddings.word'), 'input_ids']));
    let sum = g.add('Add', 'embeddings/words_positions', [word, this.positions()]);
    if (config.typeVocabularySize > 0) {
      const table = this.table('embeddings.type');
      // Of one type every token is.
      const types =
        config.typeVocabularySize > 1 ? g.add('Gather', 'embeddings/types', [table, 'token_type_ids']) : table;
      sum = g.add('Add', 'embeddings/sum', [sum, g.toFloat32(types)]);
    }
    return this.norm('embeddings.norm', sum);
  }

  /** Position vectors, [n, D], or [b, n, D] where they depend on which tokens are padding. */
  private positions(): string {
    const { builder: g, config } = this;
    const table = this.table('embeddings.position');
    if (config.positionOffset === 0) {
      const shape = g.add('Shape', 'embeddings/tokens', ['input_ids'], { start: 1, end: 2 });
      const rows = g.add('Slice', 'embeddings/positions', [table, g.integers([0]), shape, g.integers([0])]);
      // Readers do not see through Slice that these are as many as there are tokens; ONNX Runtime then leaves out what it
      // does for sums of one shape.
      g.known.push({ name: rows, dtype: g.weightDType, axes: ['tokens', config.hiddenSize] });
      return g.toFloat32(rows);
    }
    // RoBERTa counts from the padding id + 1 over what is not padding, which itself has the padding id's position.
    const padding = g.integers([config.padTokenId]);
    const isPadding = g.add('Equal', 'embeddings/is_padding', ['input_ids', padding]);
    const isToken = g.add('Cast', 'embeddings/is_token', [g.add('Not', 'embeddings/is_no_padding', [isPadding])], {
      to: elementType('I64'),
    });
    const counted = g.add('CumSum', 'embeddings/counted', [isToken, g.integerScalar(1)]);
    const ids = g.add('Add', 'embeddings/position_ids', [
      g.add('Mul', 'embeddings/counted_tokens', [counted, isToken]),
      padding,
    ]);
    return g.toFloat32(g.add('Gather', 'embeddings/positions', [table, ids]));
  }

  /** Added to scores [b, heads, n, n]: 0 at tokens, MASKED at padding; [b, 1, 1, n]. */
  paddingBias(): string {
    const { builder: g } = this;
    const mask = g.add('Unsqueeze', 'padding/mask', ['attention_mask', g.integers([1, 2])]);
    const float = g.add('Cast', 'padding/mask_float', [mask], { to: elementType('F32') });
    const padded = g.add('Sub', 'padding/padded', [g.scalar('one', 1), float]);
    return g.add('Mul', 'padding/bias', [padded, g.scalar('masked', MASKED)]);
  }

  /** Where the head reads first tokens alone, the last layer computes nothing else: keys and values come of all tokens,
   * queries and what follows of the first, [b, 1, D]. */
  attention(layer: number, x: string, bias: string): string {
    const { builder: g, config } = this;
    const asking = this.firstOnly && layer === config.layers - 1 ? this.firstTokens(x) : x;
    const at = `layers.${layer}.attention`;
    const module = `layers.${layer}.attention_output`;
    const heads = config.headsByLayer[layer];
    if (heads === 0) return this.residual(module, asking, null, `layers.${layer}.attention_norm`);
    const split = g.integers([0, 0, heads, config.headSize]);
    const part = (name: 'query' | 'key' | 'value', rows: string, perm: readonly number[]) => {
      const projected = this.linear(`layers.${layer}.${name}`, rows);
      const parts = g.add('Reshape', `${at}/${name}/split`, [projected, split]); // [b, n, heads, d]
      return g.add('Transpose', `${at}/${name}/heads`, [parts], { perm });
    };
    const query = part('query', asking, [0, 2, 1, 3]); // [b, heads, queries, d]
    const key = part('key', x, [0, 2, 3, 1]); // [b, heads, d, n]
    const value = part('value', x, [0, 2, 1, 3]);
    const products = g.add('MatMul', `${at}/products`, [query, key]); // [b, heads, queries, n]
    const root = g.scalar('head_size_root', Math.sqrt(config.headSize));
    const scores = g.add('Add', `${at}/scores`, [g.add('Div', `${at}/scaled`, [products, root]), bias]);
    const probabilities = g.add('Softmax', `${at}/probabilities`, [scores], { axis: -1 });
    const contexts = g.add('MatMul', `${at}/contexts`, [probabilities, value]); // [b, heads, queries, d]
    const rows = g.add('Transpose', `${at}/rows`, [contexts], { perm: [0, 2, 1, 3] });
    const merged = g.add('Reshape', `${at}/merged`, [rows, g.integers([0, 0, heads * config.headSize])]);
    return this.residual(module, asking, merged, `layers.${layer}.attention_norm`);
  }

  ffn(layer: number, x: string): string {
    const inner = `layers.${layer}.ffn_in`;
    const activations =
      this.config.neuronsByLayer[layer] === 0 ? null : this.activation(`${inner}/activation`, this.linear(inner, x));
    return this.residual(`layers.${layer}.ffn_out`, x, activations, `layers.${layer}.ffn_norm`);
  }

  head(x: string): void {
    const { builder: g, config } = this;
    if (hasHeadDense(config)) {
      const first = this.firstOnly ? x : this.firstTokens(x); // [b, 1, D]
      const dense = this.linear('head.dense', g.add('Squeeze', 'head/hidden', [first, g.integers([1])])); // [b, D]
      const activation = headActivation(config) === 'relu' ? 'Relu' : 'Tanh';
      this.linear('head.output', g.add(activation, 'head/activation', [dense]), 'logits');
      return;
    }
    if (config.task !== 'question-answering') {
      this.linear('head.output', x, 'logits');
      return;
    }
    const both = this.linear('head.output', x); // [b, n, 2]
    const sides = g.addMany('Split', 'head/sides', [both], ['head/start', 'head/end'], { axis: 2 });
    sides.forEach((side, i) => {
      g.add('Squeeze', i === 0 ? 'start_logits' : 'end_logits', [side, g.integers([2])]);
    });
  }

  private firstTokens(x: string): string {
    const { builder: g } = this;
    return g.add('Gather', 'head/first', [x, g.integers([0])], { axis: 1 });
  }

  /** LayerNorm of x + inputs · W + bias; without inputs the product is left out. */
  private residual(module: string, x: string, inputs: string | null, norm: string): string {
    const { builder: g } = this;
    const added = inputs === null ? this.vector(`${module}.bias`) : this.linear(module, inputs);
    return this.norm(norm, g.add('Add', `${module}/residual`, [added, x]));
  }

  /** x · W + bias, [..., outputs]. */
  private linear(module: string, x: string, name = `${module}/biased`): string {
    const { builder: g } = this;
    const matrix = g.matrix(`${module}.weight`, this.shape(`${module}.weight`));
    const product = g.add('MatMul', `${module}/product`, [x, matrix]);
    return g.add('Add', name, [this.vector(`${module}.bias`), product]);
  }

  private norm(module: string, x: string): string {
    const weights = [this.vector(`${module}.weight`), this.vector(`${module}.bias`)];
    const attributes = { axis: -1, epsilon: { float: this.config.layerNormEps } };
    return this.builder.add('LayerNormalization', `${module}/normalized`, [x, ...weights], attributes);
  }

  // The formulas are arranged as ONNX Runtime recognises them, to compute each in one pass.
  private activation(at: string, h: string): string {
    const { builder: g } = this;
    const [half, one] = [() => g.scalar('half', 0.5), () => g.scalar('one', 1)];
    switch (this.config.activation) {
      case 'relu':
        return g.add('Relu', at, [h]);
      case 'gelu': {
        // h/2 · (1 + erf(h/√2))
        const error = g.add('Erf', `${at}/erf`, [g.add('Div', `${at}/inner`, [h, g.scalar('root_two', Math.SQRT2)])]);
        const product = g.add('Mul', `${at}/product`, [h, g.add('Add', `${at}/one_more`, [error, one()])]);
        return g.add('Mul', at, [product, half()]);
      }
      case 'gelu-tanh': {
        // h/2 · (1 + tanh(√(2/π) · (h + 0.044715·h³)))
        const cube = g.add('Pow', `${at}/cube`, [h, g.scalar('three', 3)]);
        const cubic = g.add('Mul', `${at}/cubic`, [cube, g.scalar('cubic_factor', 0.044715)]);
        const sum = g.add('Add', `${at}/sum`, [h, cubic]);
        const inner = g.add('Mul', `${at}/inner`, [sum, g.scalar('tanh_factor', Math.sqrt(2 / Math.PI))]);
        const more = g.add('Add', `${at}/one_more`, [g.add('Tanh', `${at}/tanh`, [inner]), one()]);
        return g.add('Mul', at, [g.add('Mul', `${at}/half`, [h, half()]), more]);
      }
    }
  }

  private vector(name: string): string {
    return this.builder.vector(name, this.shape(name));
  }

  private table(name: string): string {
    return this.builder.table(name, this.shape(name));
  }

  private shape(name: string): readonly number[] {
    const shape = this.shapes.get(name);
    if (shape === undefined) throw new EspalierError('internal', `onnx: ${name}: got no weight of this name`);
    return shape;
  }
}
