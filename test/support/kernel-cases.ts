// Kernels against float64 formulas: shapes, inputs and what must come out, for tests on a CPU and on a GPU.
import { randomStream } from '../../pruning/random.ts';
import type { DeviceTensor, Engine } from '../../worker/engine/engine.ts';
import { ACTIVATION_SCALES } from '../../worker/engine/kernels/activation-scales.ts';
import type { Kernels } from '../../worker/engine/kernels/kernels.ts';
import { activate, layerNorm, layerNormBackward, softmax } from './reference-math.ts';

/** A function of the kernels on one shape. */
export interface KernelCase {
  readonly name: string;
  /** Relative error, in the L2 norm, of each result. */
  errors(engine: Engine, kernels: Kernels): Map<string, number>;
}

/** Float32 rounding leaves a few 1e-7 after some hundred terms. TensorFlow's own sum over two axes adds thousands of terms one
 * after the other, which costs another digit. */
export const KERNEL_TOLERANCES = { fused: 1e-6, plain: 1e-5 };

const ACTIVATIONS = ['gelu', 'gelu-tanh', 'relu'] as const;
const EPSILON = 1e-12;

// Rows and columns: odd ones, ones that no vector or block divides, one that is wider than a warp's registers.
const NORM_SHAPES = [
  [1, 5],
  [7, 15],
  [185, 60],
  [18, 768],
  [5, 1024],
  [3, 1100],
  [4, 2051],
] as const;
// Samples, rows of each, neurons.
const ACTIVATION_SHAPES = [
  [1, 1, 1],
  [3, 7, 13],
  [5, 37, 292],
  [2, 300, 1024],
  [9, 1, 3072],
] as const;
// Samples, tokens, heads, size of a head, tokens that ask (0: all). Scores of 700 tokens are longer than a warp's registers.
const ATTENTION_SHAPES = [
  [1, 1, 1, 1, 0],
  [3, 7, 3, 5, 0],
  [5, 37, 3, 20, 0],
  [5, 37, 3, 20, 1],
  [2, 9, 12, 64, 0],
  [2, 64, 2, 64, 1],
  [2, 150, 2, 33, 0],
  [1, 300, 2, 64, 0],
  [1, 700, 1, 8, 0],
  [3, 40, 2, 16, 3],
] as const;

/** All cases, with inputs of their own. */
export function kernelCases(): KernelCase[] {
  return [
    ...NORM_SHAPES.map(([rows, width]) => normCase(rows, width)),
    ...ACTIVATIONS.flatMap((kind) =>
      ACTIVATION_SHAPES.map(([samples, rows, neurons]) => activationCase(kind, samples, rows, neurons)),
    ),
    ...ATTENTION_SHAPES.map(([samples, tokens, heads, size, asking]) =>
      attentionCase(samples, tokens, heads, size, asking),
    ),
  ];
}

type Draw = (count: number, scale?: number) => Float32Array;

// Sums of three uniform numbers, of deviation `scale`.
function drawOf(name: string): Draw {
  const random = randomStream(24, name);
  return (count, scale = 1) =>
    Float32Array.from(
      { length: count },
      () => scale * 2 * (random.uniform() + random.uniform() + random.uniform() - 1.5),
    );
}

function rowSquares(x: Float32Array, rows: number): Float64Array {
  const width = x.length / rows;
  return Float64Array.from({ length: rows }, (_, row) =>
    x.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value * value, 0),
  );
}

function normCase(rows: number, width: number): KernelCase {
  const name = `norm of ${rows} x ${width}`;
  return {
    name,
    errors(engine, kernels) {
      const draw = drawOf(name);
      const [x, residual, dy, dy2] = Array.from({ length: 4 }, () => draw(rows * width));
      const [bias, gamma, beta] = Array.from({ length: 3 }, () => draw(width));
      const norm = { gain: Float64Array.from(gamma), shift: Float64Array.from(beta), eps: EPSILON };
      const sum = Float64Array.from(x, (value, i) => value + bias[i % width] + residual[i]);
      const both = Float64Array.from(dy, (value, i) => value + dy2[i]);
      return engine.scope(() => {
        const up = (values: Float32Array, shape = [rows, width]) => engine.upload(values, shape);
        const weights = { gamma: up(gamma, [width]), beta: up(beta, [width]) };
        const whole = kernels.addNorm(up(x), up(bias, [width]), up(residual), weights, EPSILON);
        const alone = kernels.addNorm(up(x), null, null, weights, EPSILON);
        return errorsOf(engine, {
          y: [whole.y, layerNorm(sum, norm)],
          'y of x alone': [alone.y, layerNorm(Float64Array.from(x), norm)],
          squares: [kernels.squaredLengths(up(dy)), rowSquares(dy, rows)],
          dx: [kernels.addNormGrad(up(dy), up(dy2), weights, whole.saved), layerNormBackward(both, sum, norm)],
          'dx of dy alone': [
            kernels.addNormGrad(up(dy), null, weights, alone.saved),
            layerNormBackward(Float64Array.from(dy), Float64Array.from(x), norm),
          ],
        });
      });
    },
  };
}

function activationCase(
  kind: (typeof ACTIVATIONS)[number],
  samples: number,
  rows: number,
  neurons: number,
): KernelCase {
  const name = `${kind} of ${samples} x ${rows} x ${neurons}`;
  return {
    name,
    errors(engine, kernels) {
      const draw = drawOf(name);
      const count = samples * rows * neurons;
      const product = draw(count, 1.5);
      const da = draw(count);
      const bias = draw(neurons);
      // Weights carry the scales: activate(h / input) / output is what the kernel makes of h.
      const scales = ACTIVATION_SCALES[kind];
      const found = Array.from(product, (h, i) => activate(kind, (h + bias[i % neurons]) / scales.input));
      const a = Float64Array.from(found, ({ value }) => value / scales.output);
      const slopes = Float64Array.from(found, ({ slope }) => slope / scales.output / scales.input);
      const mask = new Float64Array(samples * neurons);
      a.forEach((value, i) => {
        mask[Math.floor(i / (rows * neurons)) * neurons + (i % neurons)] += value * da[i];
      });
      return engine.scope(() => {
        const up = (values: Float32Array) => engine.upload(values, [samples * rows, neurons]);
        const ownBias = engine.upload(bias, [neurons]);
        const forward = kernels.activation(kind, up(product), ownBias);
        const gradients = kernels.activationGrad(kind, up(da), ownBias, forward.saved, samples);
        return errorsOf(engine, {
          a: [forward.a, a],
          product: [gradients.product, slopes.map((slope, i) => slope * da[i])],
          mask: [gradients.mask, mask, a.reduce((sum, value, i) => sum + (value * da[i]) ** 2, 0)],
        });
      });
    },
  };
}

function attentionCase(samples: number, tokens: number, heads: number, size: number, asking: number): KernelCase {
  const queries = asking === 0 ? tokens : asking;
  const name = `attention of ${samples} x ${tokens} tokens, ${heads} x ${size}, ${queries} ask`;
  return {
    name,
    errors(engine, kernels) {
      const draw = drawOf(name);
      const width = heads * size;
      const query = draw(samples * queries * width, 1 / Math.sqrt(size));
      const [key, value] = [0, 1].map(() => draw(samples * tokens * width));
      const bias = draw(3 * width, 0.1);
      const dcontext = draw(samples * queries * width);
      const mask = new Float32Array(samples * tokens);
      for (let s = 0; s < samples; s++)
        for (let t = Math.max(1, tokens - s * 3); t < tokens; t++) mask[s * tokens + t] = -1e9;
      const right = referenceAttention(
        { samples, tokens, queries, heads, size },
        query,
        key,
        value,
        bias,
        mask,
        dcontext,
      );
      return engine.scope(() => {
        const sizes = { samples, heads };
        const ownBias = engine.upload(bias, [3 * width]);
        const own = (values: Float32Array) => engine.upload(values, [samples * queries, width]);
        const products =
          asking === 0
            ? {
                query: engine.upload(sideBySide([query, key, value], width), [samples * tokens, 3 * width]),
                keyValue: null,
              }
            : {
                query: own(query),
                keyValue: engine.upload(sideBySide([key, value], width), [samples * tokens, 2 * width]),
              };
        const paddingBias = engine.upload(mask, [samples, 1, 1, tokens]);
        const forward = kernels.attention(products, ownBias, paddingBias, sizes);
        const all = kernels.attentionGrad(own(dcontext), ownBias, forward.saved, sizes, true);
        const maskAlone = kernels.attentionGrad(own(dcontext), ownBias, forward.saved, sizes, false);
        const { query: dquery, keyValue } = all.products!;
        return errorsOf(engine, {
          context: [forward.context, right.context],
          mask: [all.mask, right.mask, right.maskTerms],
          'mask alone': [maskAlone.mask, right.mask, right.maskTerms],
          ...(keyValue === null
            ? { dproduct: [dquery, sideBySide([right.dquery, right.dkey, right.dvalue], width)] }
            : {
                dquery: [dquery, right.dquery],
                dkeyValue: [keyValue, sideBySide([right.dkey, right.dvalue], width)],
              }),
        });
      });
    },
  };
}

interface Sizes {
  readonly samples: number;
  readonly tokens: number;
  readonly queries: number;
  readonly heads: number;
  readonly size: number;
}

function referenceAttention(
  { samples, tokens, queries, heads, size }: Sizes,
  query: Float32Array,
  key: Float32Array,
  value: Float32Array,
  bias: Float32Array,
  mask: Float32Array,
  dcontext: Float32Array,
) {
  const width = heads * size;
  const context = new Float64Array(query.length);
  const dquery = new Float64Array(query.length);
  const dkey = new Float64Array(key.length);
  const dvalue = new Float64Array(key.length);
  const maskGradient = new Float64Array(samples * heads);
  let maskTerms = 0;
  const q = Float64Array.from(query, (x, i) => x + bias[i % width]);
  const k = Float64Array.from(key, (x, i) => x + bias[width + (i % width)]);
  const v = Float64Array.from(value, (x, i) => x + bias[2 * width + (i % width)]);
  for (let s = 0; s < samples; s++)
    for (let h = 0; h < heads; h++)
      for (let from = 0; from < queries; from++) {
        const row = (s * queries + from) * width + h * size;
        const at = (to: number) => (s * tokens + to) * width + h * size;
        const scores = Float64Array.from({ length: tokens }, (_, to) => {
          let score = mask[s * tokens + to];
          for (let c = 0; c < size; c++) score += q[row + c] * k[at(to) + c];
          return score;
        });
        const { shares } = softmax(scores);
        const dshares = new Float64Array(tokens);
        for (let to = 0; to < tokens; to++)
          for (let c = 0; c < size; c++) {
            context[row + c] += shares[to] * v[at(to) + c];
            dshares[to] += dcontext[row + c] * v[at(to) + c];
            dvalue[at(to) + c] += shares[to] * dcontext[row + c];
          }
        const mean = dshares.reduce((sum, d, to) => sum + d * shares[to], 0);
        maskGradient[s * heads + h] += mean;
        for (let c = 0; c < size; c++) maskTerms += (dcontext[row + c] * context[row + c]) ** 2;
        for (let to = 0; to < tokens; to++)
          for (let c = 0; c < size; c++) {
            const dscore = shares[to] * (dshares[to] - mean);
            dquery[row + c] += dscore * k[at(to) + c];
            dkey[at(to) + c] += dscore * q[row + c];
          }
      }
  return { context, dquery, dkey, dvalue, mask: maskGradient, maskTerms };
}

/** Rows of several matrices of one width, next to each other. */
function sideBySide<Values extends Float32Array | Float64Array>(parts: readonly Values[], width: number): Values {
  const rows = parts[0].length / width;
  const joined = parts[0].slice(0, 0).constructor as new (length: number) => Values;
  const whole = new joined(rows * width * parts.length);
  parts.forEach((part, p) => {
    for (let row = 0; row < rows; row++)
      whole.set(part.subarray(row * width, (row + 1) * width), (row * parts.length + p) * width);
  });
  return whole;
}

function errorsOf(
  engine: Engine,
  results: Readonly<Record<string, readonly [DeviceTensor, Float64Array, number?]>>,
): Map<string, number> {
  return new Map(
    Object.entries(results).map(([name, [tensor, right, terms]]) => [
      name,
      relativeError(engine.downloadFloat32(tensor), right, terms),
    ]),
  );
}

// @param terms sum of the squares of what the results are sums of: where signs differ, rounding is of the terms' size.
function relativeError(got: Float32Array, right: Float64Array, terms = 0): number {
  if (got.length !== right.length) return Number.NaN;
  let squares = 0;
  let size = 0;
  right.forEach((value, i) => {
    squares += (got[i] - value) ** 2;
    size += value ** 2;
  });
  // What must be all but nothing, as gradients through a softmax of one token, is measured by the inputs, which are near 1.
  return Math.sqrt(squares / Math.max(size, terms, right.length * 1e-6));
}
