// The formulas of an encoder layer between its large products, each with its gradient. Two implementations have the same
// results up to rounding: plain ones, of TensorFlow's own operations, and fused ones, of the library that the set-up compiles
// (docs/adr/0024-fused-operations.md). They are cut where fusing pays: a function reads what a product made once and writes
// what the next one takes. Tensors belong to the scope that is open.
import type { Activation } from '../../../checkpoint/model-config.ts';
import type { DeviceTensor } from '../engine.ts';
import type { SystemKernels } from './system-kernels.ts';

/** What a gradient needs of its forward function: tensors under names of the implementation's own. */
export type Saved = Readonly<Record<string, DeviceTensor | null>>;

export interface NormWeights {
  /** [D] */
  readonly gamma: DeviceTensor;
  /** [D] */
  readonly beta: DeviceTensor;
}

export interface NormResult {
  /** [rows, D] */
  readonly y: DeviceTensor;
  readonly saved: Saved;
}

export interface ActivationResult {
  /** The activations, in the scale that ACTIVATION_SCALES says, [rows, neurons]. */
  readonly a: DeviceTensor;
  readonly saved: Saved;
}

export interface ActivationGradients {
  /** Of the product that the activation was made of, [rows, neurons]. */
  readonly product: DeviceTensor;
  /** Of each sample's neuron mask: the sum of da·a over the sample's rows, [b, neurons]. */
  readonly mask: DeviceTensor;
}

/** What attention is made of, before its biases. Either all tokens ask, and one product has query, key and value side by side,
 * [b·n, 3·heads·d]; or some do: [b·queries, heads·d] and [b·n, 2·heads·d]. */
export interface AttentionProducts {
  readonly query: DeviceTensor;
  /** null: they follow the query in its product. */
  readonly keyValue: DeviceTensor | null;
}

/** Samples whose tokens attend to each other, one after the other. */
export interface AttendingSamples {
  /** b */
  readonly samples: number;
  /** n: rows of the longest; of each sample where they are padded. */
  readonly tokens: number;
  /** [2b + 1], int32 bits as float32: the first row of each sample and the end of the last, then how many of its rows are tokens. */
  readonly extents: DeviceTensor;
  /** Added to the scores, [b, 1, 1, n]: 0 at tokens, −1e9 at padding; null where nothing is padded. */
  readonly paddingBias: DeviceTensor | null;
}

export interface HeadSizes {
  readonly samples: number;
  readonly heads: number;
}

export interface AttentionResult {
  /** Contexts of all heads side by side, [b·queries, heads·d]. */
  readonly context: DeviceTensor;
  readonly saved: Saved;
}

export interface AttentionGradients {
  /** Of the products, in their shapes; null where they were not asked for. */
  readonly products: AttentionProducts | null;
  /** Of each sample's head mask: the sum of dcontext·context over the head, [b, heads]. */
  readonly mask: DeviceTensor;
}

export interface RefitFeatures {
  /** [rows, count], or more columns that do not count; null: none. */
  readonly features: DeviceTensor | null;
  /** 0 without features. */
  readonly count: number;
  /** Of the result, more than `count`. */
  readonly columns: number;
}

export interface RefitTargets {
  /** [rows, D]; null: not added. */
  readonly added: DeviceTensor | null;
  /** [rows, D] */
  readonly taught: DeviceTensor;
  /** [rows, D]; null: not subtracted. */
  readonly own: DeviceTensor | null;
  /** [D]; null: not added. */
  readonly bias: DeviceTensor | null;
}

export interface RefitRows {
  /** [rows, columns] */
  readonly x: DeviceTensor;
  /** [rows, D] */
  readonly r: DeviceTensor;
}

export interface Kernels {
  readonly kind: 'plain' | 'fused';
  readonly systems: SystemKernels;

  /** Rows of x + bias + residual to mean 0 and variance 1, then gamma and beta.
   * @param x [rows, D] @param bias [D] @param residual [rows, D]; null: not added. */
  addNorm(
    x: DeviceTensor,
    bias: DeviceTensor | null,
    residual: DeviceTensor | null,
    weights: NormWeights,
    epsilon: number,
  ): NormResult;

  /** Gradient of addNorm with respect to its sum, for the incoming gradient dy + dy2: (g − mean(g) − n·mean(g·n))·r, with
   * g = (dy + dy2)·gamma, n the normalised rows and r one over their deviation. @param dy2 null: not added. */
  addNormGrad(dy: DeviceTensor, dy2: DeviceTensor | null, weights: NormWeights, saved: Saved): DeviceTensor;

  /** The sum of squares of each row, [rows, 1]. @param x [rows, D] */
  squaredLengths(x: DeviceTensor): DeviceTensor;

  /** The activation of product + bias, which carry the factors of ACTIVATION_SCALES. @param product [rows, neurons] */
  activation(kind: Activation, product: DeviceTensor, bias: DeviceTensor): ActivationResult;

  /** @param da [rows, neurons] @param samples b. @param extents as of AttendingSamples, where `attendsUnpadded`; null: as many rows each. */
  activationGrad(
    kind: Activation,
    da: DeviceTensor,
    bias: DeviceTensor,
    saved: Saved,
    samples: number,
    extents: DeviceTensor | null,
  ): ActivationGradients;

  /** True where `attention` takes samples without padding, of heads of this size, with the products of now. */
  attendsUnpadded(headSize: number): boolean;

  /** softmax(q·kᵀ + padding)·v of each head. What it makes of padding is finite, and not said.
   * @param bias of query, key and value, [3·heads·d]; the query's weights carry 1/√d. */
  attention(products: AttentionProducts, bias: DeviceTensor, samples: AttendingSamples, heads: number): AttentionResult;

  /** @param dcontext [b·queries, heads·d], 0 at padding. @param wantsProducts false: only the mask's gradient is made. */
  attentionGrad(
    dcontext: DeviceTensor,
    bias: DeviceTensor,
    saved: Saved,
    samples: AttendingSamples,
    heads: number,
    wantsProducts: boolean,
  ): AttentionGradients;

  /** What the sums of a refit are made of: features with a column of ones and then columns of 0, and targets
   * added + ((taught − own) + bias), each row times the root of its weight: plain sums of products are then the weighted ones.
   * Of equal inputs both implementations make equal bits, in tensors of their own.
   * @param roots [rows, 1]; null: 1. */
  refitRows(from: RefitFeatures, targets: RefitTargets, roots: DeviceTensor | null): RefitRows;

  /** Half the sum of squares, float64 []: each square and all additions in float64. @param x float32 of any shape. */
  halfSquares(x: DeviceTensor): DeviceTensor;
}
