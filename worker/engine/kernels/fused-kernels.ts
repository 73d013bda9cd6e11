// Kernels of Espalier's own operations (worker/engine/native). Attention is one operation each way on a CPU, and on a GPU where
// products may round their inputs; else it is TensorFlow's batched products there, with own operations around them.
import type { Activation } from '../../../checkpoint/model-config.ts';
import { VARLEN_HEAD_SIZES } from '../../../dataset/unpadded.ts';
import { AttributeLists } from '../attribute-lists.ts';
import type { OpAttribute } from '../binding.ts';
import { bool, type DeviceTensor, type Engine, float, int } from '../engine.ts';
import type { Ops } from '../ops.ts';
import { FusedSystemKernels } from './fused-system-kernels.ts';
import type {
  ActivationGradients,
  ActivationResult,
  AttendingSamples,
  AttentionGradients,
  AttentionProducts,
  AttentionResult,
  HeadSizes,
  Kernels,
  NormResult,
  NormWeights,
  RefitFeatures,
  RefitRows,
  RefitTargets,
  Saved,
} from './kernels.ts';
import type { SystemKernels } from './system-kernels.ts';

/** Numbers of the operations' attribute `kind`. */
const ACTIVATION_KINDS: Readonly<Record<Activation, number>> = { gelu: 0, 'gelu-tanh': 1, relu: 2 };

const NONE: readonly OpAttribute[] = [];
/** Samples, heads and the like of one micro-batch share a key. */
const MOST_HEADS = 2 ** 16;
/** Features and columns of a sub-layer share a key. */
const MOST_FEATURES = 2 ** 24;
const norms = new AttributeLists();
const activations = new AttributeLists();
const activationGrads = new AttributeLists();
const attentions = new AttributeLists();
const attentionGrads = new AttributeLists();
const varlens = new AttributeLists();
const dots = new AttributeLists();
const splits = new AttributeLists();
const merges = new AttributeLists();
const refits = new AttributeLists();

export class FusedKernels implements Kernels {
  readonly kind = 'fused';
  readonly systems: SystemKernels;
  private readonly ops: Ops;
  private readonly engine: Engine;
  private readonly isGpu: boolean;

  /** @param ops of an engine whose process has loaded the library of own operations. */
  constructor(ops: Ops) {
    this.ops = ops;
    this.engine = ops.engine;
    this.systems = new FusedSystemKernels(ops.engine);
    this.isGpu = ops.engine.binding.isUsingGpuDevice();
  }

  addNorm(
    x: DeviceTensor,
    bias: DeviceTensor | null,
    residual: DeviceTensor | null,
    weights: NormWeights,
    epsilon: number,
  ): NormResult {
    const inputs = [x, this.orAbsent(bias), this.orAbsent(residual), weights.gamma, weights.beta];
    const attributes = norms.of(epsilon, () => [float('epsilon', epsilon)]);
    const [y, normalized, inverseDeviation] = this.engine.opOutputs('EspalierNorm', inputs, attributes, 3);
    return { y: y!, saved: { normalized: normalized!, inverseDeviation: inverseDeviation! } };
  }

  addNormGrad(dy: DeviceTensor, dy2: DeviceTensor | null, weights: NormWeights, saved: Saved): DeviceTensor {
    const inputs = [dy, this.orAbsent(dy2), saved.normalized!, saved.inverseDeviation!, weights.gamma];
    return this.engine.op('EspalierNormGrad', inputs, NONE);
  }

  squaredLengths(x: DeviceTensor): DeviceTensor {
    if (!this.isGpu) return this.ops.sumLast(this.ops.square(x));
    // A row is a sample of one token and one head here, whose contexts are its own gradients.
    return this.splitDot(x, x, { samples: x.shape[0], heads: 1 }, false)[1]!;
  }

  activation(kind: Activation, product: DeviceTensor, bias: DeviceTensor): ActivationResult {
    const attributes = activations.of(ACTIVATION_KINDS[kind], () => [int('kind', ACTIVATION_KINDS[kind])]);
    // The gradient computes the activation again: reading it would cost as much.
    return { a: this.engine.op('EspalierBiasActivation', [product, bias], attributes), saved: { product } };
  }

  activationGrad(
    kind: Activation,
    da: DeviceTensor,
    bias: DeviceTensor,
    saved: Saved,
    samples: number,
    extents: DeviceTensor | null,
  ): ActivationGradients {
    const number = ACTIVATION_KINDS[kind];
    const attributes = activationGrads.of(4 * samples + number, () => [int('kind', number), int('samples', samples)]);
    const inputs = [da, saved.product!, bias, this.orAbsent(extents)];
    const [product, mask] = this.engine.opOutputs('EspalierActivationGrad', inputs, attributes, 2);
    return { product: product!, mask: mask! };
  }

  attendsUnpadded(headSize: number): boolean {
    return this.isGpu && this.engine.roundsToTf32 && VARLEN_HEAD_SIZES.includes(headSize);
  }

  attention(
    { query, keyValue }: AttentionProducts,
    bias: DeviceTensor,
    samples: AttendingSamples,
    heads: number,
  ): AttentionResult {
    const sizes = { samples: samples.samples, heads };
    if (keyValue === null && this.attendsUnpadded(bias.shape[0]! / 3 / heads))
      return this.varlenAttention(query, bias, samples, heads);
    const mask = samples.paddingBias;
    if (this.isGpu) return this.attentionByProducts({ query, keyValue }, bias, mask, sizes);
    const inputs = [query, this.orAbsent(keyValue), bias, this.orAbsent(mask)];
    const attributes = attentions.of(keyOf(sizes), () => attributesOf(sizes));
    const [context, probabilities] = this.engine.opOutputs('EspalierAttention', inputs, attributes, 2);
    return { context: context!, saved: { query, keyValue, probabilities: probabilities! } };
  }

  attentionGrad(
    dcontext: DeviceTensor,
    bias: DeviceTensor,
    saved: Saved,
    samples: AttendingSamples,
    heads: number,
    wantsProducts: boolean,
  ): AttentionGradients {
    const sizes = { samples: samples.samples, heads };
    // The sums of the mask alone are quicker where all samples have as many rows.
    const isEven = dcontext.shape[0] === samples.samples * samples.tokens;
    if (saved.logSums && (wantsProducts || !isEven))
      return this.varlenAttentionGrad(dcontext, bias, saved, samples, heads);
    if (this.isGpu) return this.attentionGradByProducts(dcontext, saved, sizes, wantsProducts);
    const inputs = [dcontext, saved.query!, this.orAbsent(saved.keyValue!), bias, saved.probabilities!];
    const attributes = attentionGrads.of(2 * keyOf(sizes) + Number(wantsProducts), () => [
      ...attributesOf(sizes),
      bool('input', wantsProducts),
    ]);
    const [query, keyValue, mask] = this.engine.opOutputs('EspalierAttentionGrad', inputs, attributes, 3);
    if (!wantsProducts) return { products: null, mask: mask! };
    return { products: { query: query!, keyValue: saved.keyValue === null ? null : keyValue! }, mask: mask! };
  }

  private varlenAttention(
    product: DeviceTensor,
    bias: DeviceTensor,
    { extents, tokens }: AttendingSamples,
    heads: number,
  ): AttentionResult {
    const inputs = [product, bias, extents];
    const [context, logSums] = this.engine.opOutputs('EspalierVarlenAttention', inputs, varlenOf(heads, tokens), 2);
    return { context: context!, saved: { product, context: context!, logSums: logSums! } };
  }

  private varlenAttentionGrad(
    dcontext: DeviceTensor,
    bias: DeviceTensor,
    { context, product, logSums }: Saved,
    { extents, tokens }: AttendingSamples,
    heads: number,
  ): AttentionGradients {
    const inputs = [dcontext, context!, product!, bias, extents, logSums!];
    const attributes = varlenOf(heads, tokens);
    const [query, mask] = this.engine.opOutputs('EspalierVarlenAttentionGrad', inputs, attributes, 2);
    return { products: { query: query!, keyValue: null }, mask: mask! };
  }

  private attentionByProducts(
    { query: first, keyValue }: AttentionProducts,
    bias: DeviceTensor,
    mask: DeviceTensor | null,
    sizes: HeadSizes,
  ): AttentionResult {
    const { ops } = this;
    const [query, key, value] =
      keyValue === null
        ? this.split(first, bias, sizes, 0, 3)
        : [...this.split(first, bias, sizes, 0, 1), ...this.split(keyValue, bias, sizes, 1, 2)];
    const scores = ops.batchMatMul(query!, key!, false, true); // [b, heads, queries, n]
    const probabilities = this.engine.op('EspalierSoftmax', [scores, this.orAbsent(mask)], NONE);
    const context = this.merge([ops.batchMatMul(probabilities, value!)]);
    return { context, saved: { query: query!, key: key!, value: value!, probabilities, context } };
  }

  private attentionGradByProducts(
    dcontext: DeviceTensor,
    saved: Saved,
    sizes: HeadSizes,
    wantsProducts: boolean,
  ): AttentionGradients {
    const { ops } = this;
    const [dc, mask] = this.splitDot(dcontext, saved.context!, sizes, wantsProducts);
    if (!wantsProducts) return { products: null, mask: mask! };
    const probabilities = saved.probabilities!;
    const dv = ops.batchMatMul(probabilities, dc!, true, false); // [b, heads, n, d]
    const dp = ops.batchMatMul(dc!, saved.value!, false, true);
    const ds = this.engine.op('EspalierSoftmaxGrad', [probabilities, dp], NONE); // [b, heads, queries, n]
    const dq = ops.batchMatMul(ds, saved.key!);
    const dk = ops.batchMatMul(ds, saved.query!, true, false);
    // Which form the products had shows in the rows that ask.
    const isJoined = probabilities.shape[2] === probabilities.shape[3];
    if (isJoined) return { products: { query: this.merge([dq, dk, dv]), keyValue: null }, mask: mask! };
    return { products: { query: this.merge([dq]), keyValue: this.merge([dk, dv]) }, mask: mask! };
  }

  /** dcontext by heads, where `split` is true, and the sums of dcontext · context over each of them, [b, heads]. */
  private splitDot(dcontext: DeviceTensor, context: DeviceTensor, sizes: HeadSizes, split: boolean): DeviceTensor[] {
    const make = () => [...attributesOf(sizes), bool('split', split)];
    const attributes = dots.of(2 * keyOf(sizes) + Number(split), make);
    return this.engine.opOutputs('EspalierSplitDot', [dcontext, context], attributes, 2);
  }

  /** [b·n, parts·heads·d] + bias → parts of [b, heads, n, d] */
  private split(
    x: DeviceTensor,
    bias: DeviceTensor,
    sizes: HeadSizes,
    firstPart: number,
    parts: number,
  ): DeviceTensor[] {
    const attributes = splits.of(16 * keyOf(sizes) + 4 * parts + firstPart, () => [
      ...attributesOf(sizes),
      int('parts', parts),
      int('first_part', firstPart),
    ]);
    return this.engine.opOutputs('EspalierSplitHeads', [x, bias], attributes, parts);
  }

  /** Parts of [b, heads, n, d] → [b·n, parts·heads·d] */
  private merge(parts: readonly DeviceTensor[]): DeviceTensor {
    const attributes = merges.of(parts.length, () => [int('parts', parts.length)]);
    return this.engine.op('EspalierMergeHeads', parts, attributes);
  }

  refitRows(
    { features, count, columns }: RefitFeatures,
    { added, taught, own, bias }: RefitTargets,
    roots: DeviceTensor | null,
  ): RefitRows {
    const before = [features, roots, added].map((tensor) => this.orAbsent(tensor));
    const inputs = [...before, taught, this.orAbsent(own), this.orAbsent(bias)];
    const attributes = refits.of(columns * MOST_FEATURES + count, () => [int('count', count), int('columns', columns)]);
    const [x, r] = this.engine.opOutputs('EspalierRefitRows', inputs, attributes, 2);
    return { x: x!, r: r! };
  }

  halfSquares(x: DeviceTensor): DeviceTensor {
    return this.engine.op('EspalierHalfSquares', [x], NONE);
  }

  private orAbsent(tensor: DeviceTensor | null): DeviceTensor {
    return tensor ?? this.engine.absent();
  }
}

function varlenOf(heads: number, longest: number) {
  return varlens.of(longest * MOST_HEADS + heads, () => [int('heads', heads), int('longest', longest)]);
}

function keyOf({ samples, heads }: HeadSizes): number {
  return samples * MOST_HEADS + heads;
}

function attributesOf({ samples, heads }: HeadSizes) {
  return [int('samples', samples), int('heads', heads)];
}
