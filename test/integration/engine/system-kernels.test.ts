// Kernels for linear systems, plain and fused: both make the same bits, which are those of the formulas computed here one operation
// after the other; and what fails.
import assert from 'node:assert/strict';
import test from 'node:test';
import { loadOps } from '../../../worker/engine/binding.ts';
import type { DeviceTensor } from '../../../worker/engine/engine.ts';
import { openKernels } from '../../../worker/engine/kernels/open-kernels.ts';
import type { SystemKernels } from '../../../worker/engine/kernels/system-kernels.ts';
import { testContext } from '../../support/engine.ts';

const { engine, ops } = testContext({ kernels: 'plain' });
const loaded = loadOps();
const skip = loaded.library === null ? `no fused kernels: ${loaded.problem}` : false;
const KINDS = ['plain', 'fused'] as const;

const lengthOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);
/** Without a pattern, and of sizes so different that another order or a contracted product shows. */
const numbers = (seed: number, length: number) =>
  Float64Array.from({ length }, (_, i) => Math.sin(1 + seed + i * 2.3) * 10 ** ((i + seed) % 7));
const upload = (seed: number, ...shape: number[]) => engine.uploadFloat64(numbers(seed, lengthOf(shape)), shape);
const upload32 = (seed: number, ...shape: number[]) =>
  engine.upload(Float32Array.from(numbers(seed, lengthOf(shape))), shape);

/** Shape and bits of what each kind makes. */
function both(make: (systems: SystemKernels) => readonly DeviceTensor[]) {
  return KINDS.map((kind) =>
    engine.scope(() =>
      make(openKernels(ops, kind).kernels.systems).map((tensor) => ({
        shape: tensor.shape,
        numbers: engine.downloadFloat64(tensor),
      })),
    ),
  );
}

function assertBoth(make: (systems: SystemKernels) => readonly DeviceTensor[], expected: readonly Float64Array[]) {
  const [plain, fused] = both(make);
  assert.deepEqual(fused, plain);
  assert.deepEqual(
    fused.map((own) => own.numbers),
    expected,
  );
}

// Sizes that no block or tile divides, one number, and more than a block's threads or a GPU's blocks have.
test('products as float64, cut and with factors', { skip }, () => {
  const shapes = [
    { of: [1, 1], sizes: [1, 1] },
    { of: [9, 16], sizes: [7, 11] },
    { of: [40, 1200], sizes: [33, 1163] },
    { of: [20000, 3], sizes: [19999, 2] },
  ] as const;
  const cut = ({ of: [, stride], sizes: [rows, columns] }: (typeof shapes)[number], seed: number) => {
    const all = Float32Array.from(numbers(seed, lengthOf(shapes[seed].of)));
    return Float64Array.from(
      { length: rows * columns },
      (_, i) => all[Math.floor(i / columns) * stride + (i % columns)],
    );
  };
  const wide = shapes.map(cut);
  const factors = shapes.map(({ sizes }, i) => numbers(50 + i, lengthOf(sizes)));
  const sizes = shapes.map((own) => own.sizes);
  const products = () => shapes.map(({ of }, seed) => upload32(seed, ...of));
  assertBoth((systems) => systems.widen(products(), sizes, null), wide);
  assertBoth(
    (systems) =>
      systems.widen(
        products(),
        sizes,
        shapes.map((own, i) => upload(50 + i, ...own.sizes)),
      ),
    wide.map((own, i) => own.map((value, at) => factors[i][at] * value)),
  );
});

test('sums of pairs', { skip }, () => {
  const shapes = [[], [1, 1], [37, 5], [5_000_001]] as const;
  assertBoth(
    (systems) =>
      systems.addParts(
        shapes.map((shape, i) => upload(i, ...shape)),
        shapes.map((shape, i) => upload(9 + i, ...shape)),
      ),
    shapes.map((shape, i) => {
      const b = numbers(9 + i, lengthOf(shape));
      return numbers(i, lengthOf(shape)).map((value, at) => value + b[at]);
    }),
  );
});

test('a symmetric matrix from its panels', { skip }, () => {
  for (const counts of [[1], [5], [3, 2], [32, 32, 1], [40, 40, 40, 9], [96, 67], [97, 300]]) {
    const size = counts.reduce((sum, count) => sum + count, 0);
    const firsts = counts.map((_, i) => counts.slice(0, i).reduce((sum, count) => sum + count, 0));
    const panels = counts.map((count, i) => numbers(i, count * (size - firsts[i])));
    const above = (row: number, column: number): number => {
      const own = firsts.findLastIndex((first) => first <= row);
      if (column < firsts[own]) return above(column, row);
      return panels[own][(row - firsts[own]) * (size - firsts[own]) + column - firsts[own]];
    };
    assertBoth(
      (systems) => [ops.copy(systems.wholeMatrix(counts.map((count, i) => upload(i, count, size - firsts[i]))))],
      [Float64Array.from({ length: size ** 2 }, (_, i) => above(Math.floor(i / size), i % size))],
    );
  }
});

test('damped matrices and their right sides', { skip }, () => {
  for (const [size, width] of [
    [1, 1],
    [2, 3],
    [61, 60],
    [300, 257],
  ])
    for (const damping of [0, 0.1, 1234.5678]) {
      const [matrix, right, pulled] = [numbers(0, size ** 2), numbers(1, size * width), numbers(2, size * width)];
      for (const isLastUndamped of [false, true])
        assertBoth(
          (systems) => [systems.damp(upload(0, size, size), damping, isLastUndamped)],
          [
            matrix.map((value, i) => {
              const row = Math.floor(i / size);
              return row === i % size && (row < size - 1 || !isLastUndamped) ? value + damping : value;
            }),
          ],
        );
      assertBoth(
        (systems) => [systems.ridgeRight(upload(1, size, width), upload(2, size, width), damping)],
        [right.map((value, i) => value + (i < (size - 1) * width ? damping * pulled[i] : 0))],
      );
    }
});

test('terms of an error, and what is told of several tensors at once', { skip }, () => {
  for (const [rows, columns] of [
    [1, 1],
    [7, 13],
    [2049, 2100],
  ]) {
    const [w, p, b] = [0, 1, 2].map((seed) => numbers(seed, rows * columns));
    assertBoth(
      (systems) => [systems.errorTerms(upload(0, rows, columns), upload(1, rows, columns), upload(2, rows, columns))],
      [w.map((value, i) => value * (p[i] - (b[i] + b[i])))],
    );
  }
  const diagonal = (seed: number, size: number) => {
    const all = numbers(seed, size ** 2);
    return Array.from({ length: size }, (_, i) => all[i * size + i]);
  };
  for (const kind of KINDS) {
    const { systems } = openKernels(ops, kind).kernels;
    const told = engine.scope(() => {
      const others = [upload(2), upload(3, 4, 3), upload(4, 300)];
      return [
        systems.download([upload(0, 3, 3), upload(1, 700, 700)], others),
        systems.download([], others),
        systems.download([upload(0, 3, 3)], []),
      ];
    });
    const others = [...numbers(2, 1), ...numbers(3, 12), ...numbers(4, 300)];
    assert.deepEqual(
      told.map((own) => [...own]),
      [[...diagonal(0, 3), ...diagonal(1, 700), ...others], others, diagonal(0, 3)],
      kind,
    );
  }
});

test('shapes that do not fit are errors that name the operation, and nothing stays', { skip }, () => {
  const { systems } = openKernels(ops, 'fused').kernels;
  const many = () => Array.from({ length: 17 }, () => upload(0, 1));
  // What does not depend on a call stays once.
  engine.scope(() => systems.damp(upload(0, 1, 1), 1, true) && systems.widen([upload32(0, 2, 3)], [[2, 3]], null) && 0);
  const before = engine.tensorCount;
  for (const [call, message] of [
    [() => systems.widen([upload32(0, 2, 2)], [[2, 3]], null), /^EspalierWiden \[2,2\] .*expected .*columns/],
    [() => systems.widen([upload32(0, 2, 3)], [[2, 3]], [upload(0, 2, 2)]), /^EspalierWiden .*factors_/],
    [() => systems.addParts([upload(0, 2, 3)], [upload(0, 3, 2)]), /^EspalierAddParts .*shape/],
    [() => systems.addParts(many(), many()), /^EspalierAddParts .*kMostParts/],
    [() => systems.wholeMatrix([upload(0, 2, 3), upload(0, 1, 2)]), /^EspalierWholeMatrix .*expected/],
    [() => systems.damp(upload(0, 2, 3), 1, true), /^EspalierDamp \[2,3\] .*IsMatrix/],
    [() => systems.ridgeRight(upload(0, 2, 3), upload(0, 3, 3), 1), /^EspalierRidgeRight .*shape/],
    [() => systems.errorTerms(upload(0, 2), upload(0, 2), upload(0, 3)), /^EspalierErrorTerms .*shape/],
    [() => systems.download([upload(0, 2, 3)], []), /^EspalierGathered \[2,3\].*IsMatrix/],
  ] as [() => object, RegExp][])
    assert.throws(() => engine.scope(call), { code: 'engine', message });
  assert.ok(engine.tensorCount <= before + 1, 'but for the sizes of a product');
});
