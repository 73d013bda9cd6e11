// Kernels of TensorFlow's own operations: they run wherever TensorFlow does, and are what the fused ones are checked against.
import type { Activation } from '../../../checkpoint/model-config.ts';
import { firstColumns } from '../aligned-columns.ts';
import type { DeviceTensor } from '../engine.ts';
import type { Ops } from '../ops.ts';
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
import { PlainSystemKernels } from './plain-system-kernels.ts';
import type { SystemKernels } from './system-kernels.ts';

const TANH_INNER = Math.sqrt(2 / Math.PI);
const TANH_CUBIC = 0.044715;

export class PlainKernels implements Kernels {
  readonly kind = 'plain';
  readonly systems: SystemKernels;
  private readonly ops: Ops;

  constructor(ops: Ops) {
    this.ops = ops;
    this.systems = new PlainSystemKernels(ops);
  }

  addNorm(
    x: DeviceTensor,
    bias: DeviceTensor | null,
    residual: DeviceTensor | null,
    weights: NormWeights,
    epsilon: number,
  ): NormResult {
    const { ops } = this;
    const biased = bias === null ? x : ops.biasAdd(x, bias);
    const sum = residual === null ? biased : ops.add(biased, residual);
    const centred = ops.sub(sum, ops.meanLast(sum));
    const variance = ops.meanLast(ops.square(centred));
    const inverseDeviation = ops.rsqrt(ops.add(variance, ops.engine.scalar(epsilon)));
    const normalized = ops.mul(centred, inverseDeviation);
    const y = ops.biasAdd(ops.mul(normalized, weights.gamma), weights.beta);
    return { y, saved: { normalized, inverseDeviation } };
  }

  addNormGrad(dy: DeviceTensor, dy2: DeviceTensor | null, weights: NormWeights, saved: Saved): DeviceTensor {
    const { ops } = this;
    const scaled = ops.mul(dy2 === null ? dy : ops.add(dy, dy2), weights.gamma);
    const projection = ops.meanLast(ops.mul(scaled, saved.normalized!));
    const centred = ops.sub(ops.sub(scaled, ops.meanLast(scaled)), ops.mul(saved.normalized!, projection));
    return ops.mul(centred, saved.inverseDeviation!);
  }

  squaredLengths(x: DeviceTensor): DeviceTensor {
    return this.ops.sumLast(this.ops.square(x));
  }

  activation(kind: Activation, product: DeviceTensor, bias: DeviceTensor): ActivationResult {
    const { ops } = this;
    const h = ops.biasAdd(product, bias);
    switch (kind) {
      case 'gelu': {
        const inner = ops.erf(h);
        const a = ops.add(h, ops.mul(h, inner));
        return { a, saved: { h, inner, a } };
      }
      case 'gelu-tanh': {
        const cube = ops.mul(ops.square(h), ops.mul(h, ops.engine.scalar(TANH_CUBIC)));
        const inner = ops.tanh(ops.mul(ops.add(h, cube), ops.engine.scalar(TANH_INNER)));
        const a = ops.add(h, ops.mul(h, inner));
        return { a, saved: { h, inner, a } };
      }
      case 'relu': {
        const a = ops.relu(h);
        return { a, saved: { h, inner: null, a } };
      }
    }
  }

  activationGrad(
    kind: Activation,
    da: DeviceTensor,
    _bias: DeviceTensor,
    saved: Saved,
    samples: number,
  ): ActivationGradients {
    const { ops } = this;
    const [rows, neurons] = da.shape as [number, number];
    const mask = ops.sum(ops.reshape(ops.mul(da, saved.a!), [samples, rows / samples, neurons]), [1]);
    return { product: this.throughActivation(kind, da, saved), mask };
  }

  private throughActivation(kind: Activation, da: DeviceTensor, saved: Saved): DeviceTensor {
    const { ops } = this;
    const { engine } = ops;
    const h = saved.h!;
    switch (kind) {
      case 'gelu': {
        // d(h + h·erf h) = 1 + erf h + h·(2/√π)·exp(−h²)
        const bell = ops.mul(ops.mul(h, engine.scalar(2 / Math.sqrt(Math.PI))), ops.exp(ops.neg(ops.square(h))));
        return ops.mul(da, ops.add(ops.add(bell, saved.inner!), engine.scalar(1)));
      }
      case 'gelu-tanh': {
        // d(h + h·t) = 1 + t + h·(1 − t²)·√(2/π)·(1 + 3·0.044715·h²)
        const inner = ops.add(
          ops.mul(ops.square(h), engine.scalar(3 * TANH_CUBIC * TANH_INNER)),
          engine.scalar(TANH_INNER),
        );
        const slope = ops.tanhGrad(saved.inner!, ops.mul(h, inner));
        return ops.mul(da, ops.add(ops.add(slope, saved.inner!), engine.scalar(1)));
      }
      case 'relu':
        return ops.reluGrad(da, h);
    }
  }

  attendsUnpadded(): boolean {
    return false;
  }

  attention(
    products: AttentionProducts,
    bias: DeviceTensor,
    { samples, paddingBias }: AttendingSamples,
    heads: number,
  ): AttentionResult {
    const { ops } = this;
    const sizes = { samples, heads };
    const width = bias.shape[0]! / 3;
    const [query, key, value] =
      products.keyValue === null
        ? this.split(ops.biasAdd(products.query, bias), sizes, 3)
        : [
            ...this.split(ops.biasAdd(products.query, ops.slice(bias, [0], [width])), sizes, 1),
            ...this.split(ops.biasAdd(products.keyValue, ops.slice(bias, [width], [2 * width])), sizes, 2),
          ];
    let scores = ops.batchMatMul(query, key, false, true); // [b, heads, queries, n]
    if (paddingBias !== null) scores = ops.add(scores, paddingBias);
    const probabilities = ops.softmax(scores);
    const context = this.merge([ops.batchMatMul(probabilities, value)]);
    return { context, saved: { query, key, value, probabilities, context } };
  }

  attentionGrad(
    dcontext: DeviceTensor,
    _bias: DeviceTensor,
    saved: Saved,
    { samples }: AttendingSamples,
    heads: number,
    wantsProducts: boolean,
  ): AttentionGradients {
    const { ops } = this;
    const sizes = { samples, heads };
    const [rows, width] = dcontext.shape as [number, number];
    const byHead = [samples, rows / samples, heads, width / heads];
    const mask = ops.sum(ops.reshape(ops.mul(dcontext, saved.context!), byHead), [1, 3]);
    if (!wantsProducts) return { products: null, mask };
    const [dc] = this.split(dcontext, sizes, 1); // [b, heads, queries, d]
    const probabilities = saved.probabilities!;
    const dv = ops.batchMatMul(probabilities, dc, true, false); // [b, heads, n, d]
    const dp = ops.batchMatMul(dc, saved.value!, false, true);
    const product = ops.mul(probabilities, dp);
    const ds = ops.sub(product, ops.mul(probabilities, ops.sumLast(product))); // [b, heads, queries, n]
    const dq = ops.batchMatMul(ds, saved.key!);
    const dk = ops.batchMatMul(ds, saved.query!, true, false);
    // Which form the products had shows in the rows that ask.
    const isJoined = byHead[1] === probabilities.shape[3];
    if (isJoined) return { products: { query: this.merge([dq, dk, dv]), keyValue: null }, mask };
    return { products: { query: this.merge([dq]), keyValue: this.merge([dk, dv]) }, mask };
  }

  refitRows(
    { features, count, columns }: RefitFeatures,
    { added, taught, own, bias }: RefitTargets,
    roots: DeviceTensor | null,
  ): RefitRows {
    const { ops } = this;
    const rows = taught.shape[0]!;
    const weighted = (tensor: DeviceTensor) => (roots === null ? tensor : ops.mul(tensor, roots));
    const parts = features === null ? [] : [weighted(firstColumns(ops, features, count))];
    parts.push(roots ?? ops.ones([rows, 1]));
    if (columns > count + 1) parts.push(ops.filled([rows, columns - count - 1], 0));
    const difference = own === null ? taught : ops.sub(taught, own);
    const biased = bias === null ? difference : ops.biasAdd(difference, bias);
    const r = weighted(added === null ? biased : ops.add(added, biased));
    return { x: parts.length === 1 ? ops.copy(parts[0]!) : ops.concat(parts, 1), r: r === taught ? ops.copy(r) : r };
  }

  halfSquares(x: DeviceTensor): DeviceTensor {
    return this.ops.halfSquares64(this.ops.toFloat64(x));
  }

  /** [b·n, parts·heads·d] → parts of [b, heads, n, d] */
  private split(x: DeviceTensor, { samples, heads }: HeadSizes, parts: number): DeviceTensor[] {
    const { ops } = this;
    const tokens = x.shape[0]! / samples;
    const size = x.shape[1]! / parts / heads;
    const whole = ops.transpose(ops.reshape(x, [samples, tokens, parts, heads, size]), [2, 0, 3, 1, 4]);
    const shape = [samples, heads, tokens, size];
    return Array.from({ length: parts }, (_, part) =>
      ops.reshape(parts === 1 ? whole : ops.slice(whole, [part, 0, 0, 0, 0], [1, -1, -1, -1, -1]), shape),
    );
  }

  /** Parts of [b, heads, n, d] → [b·n, parts·heads·d] */
  private merge(parts: readonly DeviceTensor[]): DeviceTensor {
    const { ops } = this;
    const [samples, heads, tokens, size] = parts[0]!.shape as [number, number, number, number];
    const whole = ops.reshape(ops.concat(parts, 0), [parts.length, samples, heads, tokens, size]);
    return ops.reshape(ops.transpose(whole, [1, 3, 0, 2, 4]), [samples * tokens, parts.length * heads * size]);
  }
}
