// Kernels against float64 formulas: shapes, inputs and what must come out, for tests on a CPU and on a GPU.
import { randomStream } from '../../pruning/random.ts';
import type { DeviceTensor, Engine } from '../../worker/engine/engine.ts';
import { ACTIVATION_SCALES } from '../../worker/engine/kernels/activation-scales.ts';
import type { Kernels, RefitRows } from '../../worker/engine/kernels/kernels.ts';
import { extentsOf } from '../../worker/model/device-batch.ts';
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

/** What a refit's rows are made of. Columns of features that do not count are not numbers. */
export interface RefitCase {
  readonly rows: number;
  /** Columns of the features, of which `count` count; 0: no features. */
  readonly stride: number;
  readonly count: number;
  readonly columns: number;
  readonly width: number;
  /** The others are null. */
  readonly present: readonly ('added' | 'own' | 'bias' | 'roots')[];
}

/** Packs of four and single numbers, more columns than a warp reads at once and fewer, with and without what may be absent. */
export const REFIT_CASES: readonly RefitCase[] = [
  { rows: 1, stride: 1, count: 1, columns: 2, width: 1, present: ['added', 'own', 'bias', 'roots'] },
  { rows: 37, stride: 1008, count: 1003, columns: 1008, width: 768, present: ['added', 'own', 'bias', 'roots'] },
  { rows: 37, stride: 256, count: 256, columns: 264, width: 768, present: ['added', 'own', 'bias'] },
  { rows: 6, stride: 8, count: 8, columns: 9, width: 13, present: ['own', 'bias', 'roots'] },
  { rows: 5, stride: 13, count: 11, columns: 16, width: 20, present: ['added', 'own', 'roots'] },
  { rows: 185, stride: 60, count: 60, columns: 61, width: 60, present: ['roots'] },
  { rows: 7, stride: 60, count: 59, columns: 60, width: 60, present: [] },
  { rows: 9, stride: 0, count: 0, columns: 8, width: 36, present: ['own', 'bias', 'roots'] },
  { rows: 3, stride: 0, count: 0, columns: 1, width: 5, present: ['added', 'bias'] },
];

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
    ...REFIT_CASES.map(refitCase),
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
        const gradients = kernels.activationGrad(kind, up(da), ownBias, forward.saved, samples, null);
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
      const lengths = Array.from({ length: samples }, (_, s) => Math.max(1, tokens - s * 3));
      lengths.forEach((length, s) => {
        mask.fill(-1e9, s * tokens + length, (s + 1) * tokens);
      });
      const extents = extentsOf(
        [...lengths, 0].map((_, s) => s * tokens),
        lengths,
      );
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
        const attending = {
          ...{ samples, tokens },
          extents: engine.upload(extents, [extents.length]),
          paddingBias: engine.upload(mask, [samples, 1, 1, tokens]),
        };
        const forward = kernels.attention(products, ownBias, attending, heads);
        const all = kernels.attentionGrad(own(dcontext), ownBias, forward.saved, attending, heads, true);
        const maskAlone = kernels.attentionGrad(own(dcontext), ownBias, forward.saved, attending, heads, false);
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

function refitInputs({ rows, stride, count, width, present }: RefitCase, name: string) {
  const draw = drawOf(name);
  const features = draw(rows * stride).map((value, i) => (i % stride < count ? value : Number.NaN));
  const [added, taught, own] = Array.from({ length: 3 }, () => draw(rows * width));
  const [bias, roots] = [draw(width), draw(rows).map(Math.abs)];
  const given = <T>(part: (typeof present)[number], values: T) => (present.includes(part) ? values : null);
  return {
    ...{ features, taught, added: given('added', added), own: given('own', own) },
    ...{ bias: given('bias', bias), roots: given('roots', roots) },
  };
}

/** What kernels make of a case; tensors of the scope that is open. */
export function refitRowsOf(engine: Engine, kernels: Kernels, own: RefitCase): RefitRows {
  const { rows, stride, count, columns, width } = own;
  const inputs = refitInputs(own, refitName(own));
  const up = (values: Float32Array | null, ...shape: number[]) => values && engine.upload(values, shape);
  const features = count === 0 ? null : up(inputs.features, rows, stride);
  const targets = {
    added: up(inputs.added, rows, width),
    taught: engine.upload(inputs.taught, [rows, width]),
    own: up(inputs.own, rows, width),
    bias: up(inputs.bias, width),
  };
  return kernels.refitRows({ features, count, columns }, targets, up(inputs.roots, rows, 1));
}

function refitName({ rows, stride, count, columns, width, present }: RefitCase): string {
  return `refit of ${rows} x ${count} of ${stride} features as ${columns}, ${width} targets, with ${present.join(', ')}`;
}

function refitCase(own: RefitCase): KernelCase {
  const { rows, stride, count, columns, width } = own;
  const name = refitName(own);
  return {
    name,
    errors(engine, kernels) {
      const { features, added, taught, own: taken, bias, roots } = refitInputs(own, name);
      const x = Float64Array.from({ length: rows * columns }, (_, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        const value = column < count ? features[row * stride + column] : Number(column === count);
        return value * (roots?.[row] ?? 1);
      });
      const r = Float64Array.from(taught, (value, i) => {
        const sum = (added?.[i] ?? 0) + value - (taken?.[i] ?? 0) + (bias?.[i % width] ?? 0);
        return sum * (roots?.[Math.floor(i / width)] ?? 1);
      });
      return engine.scope(() => {
        const found = refitRowsOf(engine, kernels, own);
        return errorsOf(engine, { x: [found.x, x], r: [found.r, r] });
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
