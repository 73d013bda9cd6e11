import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { cholesky, solveCholesky, timesTranspose } from '../../support/plain-linear-algebra.ts';

const random = randomStream(1, 'linear-algebra');
const matrixOf = (rows: number, columns: number) =>
  new Float64Array(rows * columns).map(() => random.uniform() * 2 - 1);

// Sizes around the block of 64, the register tile of 4 by 2 and the depth of 256.
const SIZES = [0, 1, 2, 3, 5, 63, 64, 65, 130];

test('a·bᵀ is the sum of products, whatever the sizes', () => {
  for (const aRows of SIZES)
    for (const bRows of [0, 1, 7, 66])
      for (const inner of [0, 1, 255, 257]) {
        const a = matrixOf(aRows, inner);
        const b = matrixOf(bRows, inner);
        const product = timesTranspose(a, aRows, b, bRows, inner);
        assert.equal(product.length, aRows * bRows);
        product.forEach((value, at) => {
          let sum = 0;
          for (let k = 0; k < inner; k++) sum += a[Math.floor(at / bRows) * inner + k] * b[(at % bRows) * inner + k];
          assert.ok(Math.abs(value - sum) < 1e-12, `${aRows} ${bRows} ${inner}: got ${value}, expected ${sum}`);
        });
      }
});

test('a·aᵀ is symmetric to the bit and equals the product with a copy', () => {
  for (const rows of SIZES) {
    const a = matrixOf(rows, 70);
    const product = timesTranspose(a, rows, a, rows, 70);
    const general = timesTranspose(a, rows, a.slice(), rows, 70);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < rows; j++) {
        assert.equal(product[i * rows + j], product[j * rows + i]);
        assert.ok(Math.abs(product[i * rows + j] - general[i * rows + j]) < 1e-12);
      }
  }
});

test('Cholesky: L·Lᵀ is the matrix, only its lower triangle is read, and the solve gives back x', () => {
  for (const size of SIZES) {
    const a = matrixOf(size, size + 3);
    const matrix = timesTranspose(a, size, a, size, size + 3);
    const lower = matrix.map((value, at) => (at % size > Math.floor(at / size) ? Number.NaN : value));
    const factor = cholesky(lower, size)!;
    const back = timesTranspose(factor, size, factor, size, size);
    back.forEach((value, at) => {
      assert.ok(Math.abs(value - matrix[at]) < 1e-11 * (1 + size), `size ${size}, ${at}`);
      if (at % size > Math.floor(at / size)) assert.equal(factor[at], 0);
    });
    const x = matrixOf(size, 1);
    const right = Float64Array.from(x, (_, i) => x.reduce((sum, v, j) => sum + matrix[i * size + j] * v, 0));
    // Condition numbers of these matrices stay below 1e6.
    solveCholesky(factor, size, right).forEach((v, i) => {
      assert.ok(Math.abs(v - x[i]) < 1e-8, `size ${size}: got ${v}, expected ${x[i]}`);
    });
  }
});

test('Cholesky says null for what is not positive definite or not finite', () => {
  const identity = (size: number) =>
    Float64Array.from({ length: size * size }, (_, at) => (at % (size + 1) === 0 ? 1 : 0));
  for (const size of [1, 3, 65, 130])
    for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      assert.equal(cholesky(identity(size).with(size * size - 1, bad), size), null);
  assert.equal(cholesky(Float64Array.of(1, 2, 2, 1), 2), null);
});
