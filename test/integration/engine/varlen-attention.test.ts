// Attention of samples without padding and with it, and its gradient, against float64: on a CPU the operation that a GPU is issued,
// in float32, on a GPU its kernels, whose products round their inputs to 10 bits.
import assert from 'node:assert/strict';
import test from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { loadOps } from '../../../worker/engine/binding.ts';
import type { DeviceTensor } from '../../../worker/engine/engine.ts';
import type { AttendingSamples, AttentionGradients, AttentionResult } from '../../../worker/engine/kernels/kernels.ts';
import { extentsOf } from '../../../worker/model/device-batch.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { testContext } from '../../support/engine.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { gpuBranches } from '../../support/gpu-branches.ts';
import { softmax } from '../../support/reference-math.ts';
import { assertWithin } from './results.ts';

const isGpu = engineUnderTest().device === 'gpu';
const TOLERANCE = isGpu ? 2e-3 : 2e-6;
const skip = loadOps().library === null ? `no fused kernels: ${loadOps().problem}` : false;

/** Samples of one tile and of several, of whole tiles, of one token; so small gradients that float16 has no normal number for them;
 * queries and keys that point apart, whose scores are so low that a score of 0 would have a share that float16 does not hold. */
const CASES = [
  { lengths: [1, 3, 17, 64, 65, 130, 200], heads: 3, size: 64, gradient: 1, apart: 0 },
  { lengths: [40, 64, 7], heads: 2, size: 64, gradient: 1e-9, apart: 0 },
  { lengths: [5, 70, 129, 384], heads: 1, size: 32, gradient: 1e-4, apart: 0 },
  { lengths: [33, 12], heads: 12, size: 32, gradient: 3e5, apart: 0 },
  { lengths: [2, 9], heads: 1, size: 32, gradient: 0, apart: 0 },
  { lengths: [3, 40, 16, 59], heads: 2, size: 64, gradient: 1, apart: 0.6 },
  { lengths: [3, 130, 300], heads: 3, size: 32, gradient: 1, apart: 0.8 },
];

interface Drawn {
  readonly lengths: readonly number[];
  readonly heads: number;
  readonly size: number;
  /** Query, key and value of each token, its incoming gradient. */
  readonly tokens: readonly { readonly product: Float32Array; readonly dcontext: Float32Array }[];
  readonly bias: Float32Array;
}

function draw({ lengths, heads, size, gradient, apart }: (typeof CASES)[number]): Drawn {
  const random = randomStream(5, `${lengths} ${heads} ${size}`);
  const numbers = (count: number, scale: number) =>
    Float32Array.from({ length: count }, () => scale * (random.uniform() + random.uniform() - 1));
  const width = heads * size;
  const tokens = Array.from({ length: lengths.reduce((sum, length) => sum + length, 0) }, () => ({
    product: numbers(3 * width, 1),
    dcontext: numbers(width, gradient),
  }));
  const shift = [apart, -apart, 0];
  const bias = numbers(3 * width, 0.3).map((value, i) => value + shift[Math.floor(i / width)]);
  return { lengths, heads, size, tokens, bias };
}

/** Where rows of tokens lie when each sample has so many rows; null: as many as tokens. */
function layoutOf(lengths: readonly number[], padded: number | null) {
  const starts = [0];
  for (const length of lengths) starts.push(starts[starts.length - 1] + (padded ?? length));
  const rows = lengths.flatMap((length, s) => Array.from({ length }, (_, i) => starts[s] + i));
  return { starts, rows, count: starts[lengths.length] };
}

function contextUnderTest(): TaskContext {
  return isGpu ? testContext({ kernels: 'fused' }) : gpuBranches().context;
}

function run(drawn: Drawn, padded: number | null) {
  const { lengths, heads, tokens, bias } = drawn;
  const { engine, forward } = contextUnderTest();
  const { starts, rows, count } = layoutOf(lengths, padded);
  const upload = (part: 'product' | 'dcontext') => {
    const width = tokens[0][part].length;
    const all = new Float32Array(count * width);
    tokens.forEach((token, i) => {
      all.set(token[part], rows[i] * width);
    });
    return engine.upload(all, [count, width]);
  };
  return engine.scope(() => {
    const extents = extentsOf(starts, lengths);
    const samples: AttendingSamples = {
      samples: lengths.length,
      tokens: padded ?? Math.max(...lengths),
      extents: engine.upload(extents, [extents.length]),
      paddingBias: null,
    };
    const biases = engine.upload(bias, [bias.length]);
    const pass = (): [AttentionResult, AttentionGradients] => {
      assert.ok(forward.kernels.attendsUnpadded(drawn.size));
      const found = forward.kernels.attention({ query: upload('product'), keyValue: null }, biases, samples, heads);
      const dcontext = upload('dcontext');
      return [found, forward.kernels.attentionGrad(dcontext, biases, found.saved, samples, heads, true)];
    };
    const [{ context }, { products, mask }] = engine.withPrecision('tf32', pass);
    const down = (tensor: DeviceTensor) => engine.downloadFloat32(tensor);
    return { context: down(context), gradient: down(products!.query), mask: down(mask), rows, count };
  });
}

/** Float64: context and gradient of each token, mask of each sample and head. */
function reference({ lengths, heads, size, tokens, bias }: Drawn) {
  const width = heads * size;
  const context = tokens.map(() => new Float64Array(width));
  const gradient = tokens.map(() => new Float64Array(3 * width));
  const mask = new Float64Array(lengths.length * heads);
  let start = 0;
  lengths.forEach((length, s) => {
    const own = Array.from({ length }, (_, i) => start + i);
    for (let h = 0; h < heads; h++) {
      const part = (token: number, which: number, c: number) => {
        const at = which * width + h * size + c;
        return tokens[token].product[at] + bias[at];
      };
      const dot = (make: (c: number) => number) =>
        Array.from({ length: size }, (_, c) => make(c)).reduce((a, b) => a + b);
      for (const from of own) {
        const { shares } = softmax(Float64Array.from(own, (to) => dot((c) => part(from, 0, c) * part(to, 1, c))));
        const incoming = (c: number) => tokens[from].dcontext[h * size + c];
        const dshares = own.map((to) => dot((c) => incoming(c) * part(to, 2, c)));
        const mean = dshares.reduce((sum, d, i) => sum + d * shares[i], 0);
        mask[s * heads + h] += mean;
        own.forEach((to, i) => {
          const dscore = shares[i] * (dshares[i] - mean);
          for (let c = 0; c < size; c++) {
            const at = h * size + c;
            context[from][at] += shares[i] * part(to, 2, c);
            gradient[from][at] += dscore * part(to, 1, c);
            gradient[to][width + at] += dscore * part(from, 0, c);
            gradient[to][2 * width + at] += shares[i] * incoming(c);
          }
        });
      }
    }
    start += length;
  });
  return { context, gradient, mask };
}

function relativeError(got: readonly ArrayLike<number>[], right: readonly ArrayLike<number>[]): number {
  let [squares, size] = [0, 0];
  right.forEach((row, r) => {
    assert.equal(got[r].length, row.length);
    Array.from(row).forEach((value, i) => {
      squares += (got[r][i] - value) ** 2;
      size += value ** 2;
    });
  });
  return size === 0 ? squares : Math.sqrt(squares / size);
}

for (const own of CASES)
  test(`attention of ${own.lengths} tokens, ${own.heads} x ${own.size}, gradients of ${own.gradient}`, { skip }, () => {
    const drawn = draw(own);
    const right = reference(drawn);
    const layouts = [null, Math.max(...own.lengths) + 3].map((padded) => run(drawn, padded));
    for (const { context, gradient, mask, rows, count } of layouts) {
      const rowsOf = (all: Float32Array) => {
        const width = all.length / count;
        return rows.map((row) => all.subarray(row * width, (row + 1) * width));
      };
      assertWithin(relativeError(rowsOf(context), right.context), TOLERANCE, 'context');
      assertWithin(relativeError(rowsOf(gradient), right.gradient), TOLERANCE, 'gradient');
      // Its terms cancel.
      const terms = own.lengths.reduce((sum, length) => sum + length, 0) * own.size * own.gradient ** 2;
      const gaps = Array.from(right.mask, (value, i) => mask[i] - value);
      assertWithin(Math.hypot(...gaps), TOLERANCE * Math.sqrt(terms) + 1e-30, 'mask');
      for (const all of [context, gradient]) {
        const width = all.length / count;
        const isToken = new Set(rows);
        assert.ok(
          all.every((value, i) => isToken.has(Math.floor(i / width)) || value === 0),
          'padding gets zeros',
        );
      }
    }
    // Where rows lie is nothing that a result depends on.
    const [plain, padded] = layouts;
    assert.deepEqual(padded.mask, plain.mask);
    const width = plain.context.length / plain.count;
    plain.rows.forEach((row, i) => {
      const at = padded.rows[i] * width;
      assert.deepEqual(padded.context.subarray(at, at + width), plain.context.subarray(row * width, (row + 1) * width));
    });
  });

test('products, biases and extents that do not fit are errors that name the operation', { skip }, () => {
  const { engine, forward } = contextUnderTest();
  const of = (...shape: number[]) => engine.upload(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const samples = { samples: 1, tokens: 2, extents: engine.upload(extentsOf([0, 2], [2]), [3]), paddingBias: null };
  const short = { ...samples, extents: engine.upload(extentsOf([0], [2]), [2]) };
  for (const [product, bias, attending] of [
    [of(2, 95), of(96), samples],
    [of(2, 96), of(96), short],
  ] as const)
    assert.throws(
      () =>
        engine.scope(() =>
          engine.withPrecision('tf32', () =>
            forward.kernels.attention({ query: product, keyValue: null }, bias, attending, 1),
          ),
        ),
      {
        code: 'engine',
        message: /^EspalierVarlenAttention .*got a product \[2,9[56]\] for 1 heads, 96 biases and [23] extents/,
      },
    );
});
