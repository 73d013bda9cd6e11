// Plain and fused kernels, function by function, against float64, on the CPU; what makes a start fall back, and what fails.
import assert from 'node:assert/strict';
import test from 'node:test';
import { type LoadedOps, loadOps } from '../../../worker/engine/binding.ts';
import type { DeviceTensor } from '../../../worker/engine/engine.ts';
import { HostFunctions } from '../../../worker/engine/kernels/host-functions.ts';
import type { Kernels } from '../../../worker/engine/kernels/kernels.ts';
import { openKernels } from '../../../worker/engine/kernels/open-kernels.ts';
import { PlainKernels } from '../../../worker/engine/kernels/plain-kernels.ts';
import { disagreement } from '../../../worker/engine/kernels/self-check.ts';
import { extentsOf } from '../../../worker/model/device-batch.ts';
import { testContext } from '../../support/engine.ts';
import { KERNEL_TOLERANCES, kernelCases, REFIT_CASES, refitRowsOf } from '../../support/kernel-cases.ts';

const { engine, ops } = testContext({ kernels: 'plain' });
const loaded = loadOps();
const skip = loaded.library === null ? `no fused kernels: ${loaded.problem}` : false;

for (const kind of ['plain', 'fused'] as const)
  test(`${kind} kernels are the formulas`, { skip: kind === 'fused' && skip }, () => {
    const { kernels } = openKernels(ops, kind);
    assert.equal(kernels.kind, kind);
    let worst = 0;
    for (const { name, errors } of kernelCases())
      for (const [result, error] of errors(engine, kernels)) {
        assert.ok(error < KERNEL_TOLERANCES[kind], `${name}, ${result}: got a relative error of ${error}`);
        worst = Math.max(worst, error);
      }
    console.log(`# ${kind}: at worst ${worst.toExponential(1)}`);
  });

test("both kinds make equal bits of a refit's rows, in tensors of their own", { skip }, () => {
  const [plain, fused] = (['plain', 'fused'] as const).map((kind) => openKernels(ops, kind).kernels);
  for (const own of REFIT_CASES)
    engine.scope(() => {
      const [right, found] = [plain, fused].map((kernels) => refitRowsOf(engine, kernels, own));
      for (const part of ['x', 'r'] as const) {
        assert.deepEqual(found[part].shape, right[part].shape);
        const [bits, expected] = [found, right].map((rows) => bitsOf(rows[part]));
        const at = bits.findIndex((value, i) => value !== expected[i]);
        assert.equal(at, -1, `${part} of ${JSON.stringify(own)}: got ${bits[at]}, expected ${expected[at]}`);
      }
    });
  // Whoever releases the rows leaves what they were made of.
  for (const kernels of [plain, fused]) {
    const [taught, roots] = [engine.upload(Float32Array.of(3, 4), [1, 2]), engine.upload(Float32Array.of(5), [1, 1])];
    const targets = { added: null, taught, own: null, bias: null };
    for (const weights of [null, roots])
      engine.scope(() => kernels.refitRows({ features: null, count: 0, columns: 1 }, targets, weights) && null);
    assert.deepEqual([...engine.downloadFloat32(taught), ...engine.downloadFloat32(roots)], [3, 4, 5], kernels.kind);
    for (const tensor of [taught, roots]) engine.dispose(tensor);
  }
});

function bitsOf(tensor: DeviceTensor): Int32Array {
  const values = engine.downloadFloat32(tensor);
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

// Fewer numbers than a block has, no multiple of four, and more than all blocks read at once. Rounding of the reference, which adds
// one number after the other, is a few 1e-13 of millions.
test('half squares are float64 sums of float64 squares, the same each time', { skip }, () => {
  for (const count of [1, 7, 1024, 8193, 1_100_003, 4_500_000]) {
    const x = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * (1 + (i % 7)));
    const right = x.reduce((sum, value) => sum + value ** 2, 0) / 2;
    for (const kind of ['plain', 'fused'] as const) {
      const { kernels } = openKernels(ops, kind);
      const [found, again] = [0, 1].map(() =>
        engine.scope(() => {
          const half = kernels.halfSquares(engine.upload(x, [count]));
          assert.deepEqual(half.shape, []);
          return engine.downloadFloat64(half)[0];
        }),
      );
      assert.ok(Math.abs(found - right) <= 1e-12 * right, `${kind}, ${count}: got ${found}, expected ${right}`);
      assert.equal(again, found, `${kind}, ${count}`);
    }
  }
});

/** Samples of one length. */
function unpadded(samples: number, tokens: number) {
  const starts = Array.from({ length: samples + 1 }, (_, i) => i * tokens);
  const extents = extentsOf(starts, new Array(samples).fill(tokens));
  return { samples, tokens, extents: engine.upload(extents, [extents.length]), paddingBias: null };
}

test('not a number stays what it is', { skip }, () => {
  const { kernels } = openKernels(ops, 'fused');
  const width = 24;
  const row = (at: number) =>
    Float32Array.from({ length: 2 * width }, (_, i) => (i === at ? Number.NaN : 0.5 + i / 99));
  const ones = engine.upload(new Float32Array(3 * width).fill(1), [3 * width]);
  engine.scope(() => {
    const bias = ops.slice(ones, [0], [width]);
    // Places that fall to vector code and ones that are left over.
    for (const at of [0, 7, width - 1]) {
      const x = engine.upload(row(at), [2, width]);
      const isNaNAt = (tensor: { shape: number[] }, index: number) =>
        Number.isNaN(engine.downloadFloat32(tensor as typeof x)[index]!);
      const norm = kernels.addNorm(x, bias, null, { gamma: bias, beta: bias }, 1e-12);
      assert.ok(isNaNAt(norm.y, at) && isNaNAt(norm.y, width - 1 - at), 'a row of a LayerNorm');
      assert.ok(!isNaNAt(norm.y, width), 'the row after it');
      for (const kind of ['gelu', 'gelu-tanh', 'relu'] as const) {
        const { a, saved } = kernels.activation(kind, x, bias);
        assert.ok(isNaNAt(a, at) && !isNaNAt(a, width + at), kind);
        const gradients = kernels.activationGrad(kind, x, bias, saved, 2, null);
        assert.ok(isNaNAt(gradients.product, at) && isNaNAt(gradients.mask, at), `${kind}, gradient`);
      }
      const products = {
        query: engine.upload(Float32Array.from([...row(at), ...row(-1), ...row(-1)]), [2, 3 * width]),
        keyValue: null,
      };
      const { context } = kernels.attention(products, ones, unpadded(1, 2), 1);
      assert.ok(isNaNAt(context, 0), 'attention');
    }
  });
});

test('shapes that do not fit are errors that name the operation', { skip }, () => {
  const { kernels } = openKernels(ops, 'fused');
  const before = engine.tensorCount;
  const of = (...shape: number[]) => engine.upload(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const norm = () => ({ gamma: of(5), beta: of(5) });
  const refitOf = (
    features: DeviceTensor,
    count: number,
    columns: number,
    taught: DeviceTensor,
    roots: DeviceTensor | null = null,
  ) => kernels.refitRows({ features, count, columns }, { added: null, taught, own: null, bias: null }, roots);
  for (const [call, message] of [
    [() => kernels.addNorm(of(3, 4), null, null, norm(), 1e-12), /^EspalierNorm \[3,4\] .*: expected /],
    [() => kernels.addNorm(of(3, 5), of(4), null, norm(), 1e-12), /^EspalierNorm .*IsAbsentOr/],
    [() => kernels.activation('gelu', of(3, 4), of(5)), /^EspalierBiasActivation .*expected/],
    [
      () => kernels.activationGrad('relu', of(3, 4), of(4), { product: of(3, 4) }, 2, null),
      /^EspalierActivationGrad .*samples_/,
    ],
    [
      () => kernels.attention({ query: of(4, 30), keyValue: null }, of(24), unpadded(2, 2), 2),
      engine.binding.isUsingGpuDevice()
        ? /^EspalierSplitHeads \[4,30\] \[24\].*: expected /
        : /^EspalierAttention .*got products \[4,30\] and \[0\] for 2 samples, 2 heads and 24 biases/,
    ],
    [() => refitOf(of(3, 4), 5, 8, of(3, 2)), /^EspalierRefitRows \[3,4\] .*count_/],
    [() => refitOf(of(2, 4), 4, 5, of(3, 2)), /^EspalierRefitRows .*expected .*rows/],
    [() => refitOf(of(3, 4), 4, 4, of(3, 2)), /^EspalierRefitRows .*columns_/],
    [() => refitOf(of(3, 4), 4, 5, of(3, 2), of(2, 1)), /^EspalierRefitRows .*IsAbsentOr/],
  ] as [() => object, RegExp][])
    assert.throws(() => engine.scope(call), { code: 'engine', message });
  engine.scope(() => {});
  assert.ok(engine.tensorCount <= before + 1, 'what was uploaded is released, but for the absent one');
});

test('a check of two kinds finds the function that is wrong', () => {
  const plain = new PlainKernels(ops);
  const reference = new PlainKernels(new HostFunctions(engine));
  assert.equal(disagreement(engine, plain, reference), null);
  const wrong: Kernels = Object.assign(new PlainKernels(ops), {
    addNormGrad: (dy: Parameters<Kernels['addNormGrad']>[0]) => ops.neg(dy),
  });
  assert.match(disagreement(engine, wrong, reference) ?? '', /^addNormGrad: got -?[\d.]+ at 0, expected -?[\d.]+$/);
});

test('without a library of this TensorFlow kernels are plain, or the start fails where fused ones are a must', () => {
  const missing: LoadedOps = { library: null, problem: 'no such file' };
  assert.deepEqual({ ...openKernels(ops, 'auto', missing), kernels: null }, { kernels: null, problem: 'no such file' });
  assert.equal(openKernels(ops, 'auto', missing).kernels.kind, 'plain');
  assert.equal(openKernels(ops, 'plain', missing).problem, null);
  assert.throws(() => openKernels(ops, 'fused', missing), {
    code: 'engine',
    message: 'fused kernels cannot be had: no such file',
  });
  if (loaded.library === null) return;
  const other: LoadedOps = { library: { ...loaded.library, tensorflowVersion: '1.0' }, problem: null };
  assert.match(
    openKernels(ops, 'auto', other).problem ?? '',
    /^the operations were compiled for TensorFlow 1\.0, got 2\./,
  );
});
