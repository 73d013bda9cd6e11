// The engine and its operations on TensorFlow itself: exact transfers, linear algebra, releases, and what TensorFlow says
// when it fails.
import assert from 'node:assert/strict';
import test from 'node:test';
import { type LinearAlgebra, plainLinearAlgebra } from '../../../pruning/linear-algebra.ts';
import { randomStream } from '../../../pruning/random.ts';
import { type DeviceTensor, Engine } from '../../../worker/engine/engine.ts';
import { engineAlgebra } from '../../../worker/engine/engine-algebra.ts';
import { testContext } from '../../support/engine.ts';
import { assertWithin, largestGap } from './results.ts';

const { engine, ops } = testContext();
const random = randomStream(2, 'engine');

const bitsOf = (values: Float32Array | Float64Array | Int32Array) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');

function draw(count: number): Float64Array {
  return new Float64Array(count).map(() => random.uniform() * 2 - 1);
}

test('float64 goes to the device and back bit by bit', () => {
  const special = [0, -0, Number.MIN_VALUE, Number.MAX_VALUE, -1 / 3, Number.EPSILON, Infinity, -Infinity, Number.NaN];
  for (const values of [
    Float64Array.from(special),
    draw(1000),
    Float64Array.of(Math.PI),
    Float64Array.from(special).subarray(3, 8),
  ])
    engine.scope(() => {
      const tensor = engine.uploadFloat64(values, [values.length]);
      assert.deepEqual(tensor.shape, [values.length]);
      assert.equal(bitsOf(engine.downloadFloat64(tensor)), bitsOf(values));
    });
  const matrix = draw(15);
  engine.scope(() => {
    const tensor = engine.uploadFloat64(matrix, [3, 5]);
    assert.deepEqual(tensor.shape, [3, 5]);
    assert.equal(bitsOf(engine.downloadFloat64(tensor)), bitsOf(matrix));
  });
});

test('float32 goes to the device and back bit by bit, from the middle of a buffer too, and to float64 without loss', () => {
  const values = Float32Array.from([0, -0, 1.2e-38, 3.4e38, -1 / 3, Infinity, Number.NaN, 7]);
  // Below 1.18e-38, the smallest normal number, TensorFlow's operations give 0; the transfer itself does not.
  const tiny = Float32Array.of(1e-45);
  engine.scope(() => assert.equal(bitsOf(engine.downloadFloat32(engine.upload(tiny, [1]))), bitsOf(tiny)));
  for (const part of [values, values.subarray(1, 5)])
    engine.scope(() => {
      const tensor = engine.upload(part, [part.length]);
      assert.equal(bitsOf(engine.downloadFloat32(tensor)), bitsOf(part));
      assert.deepEqual(engine.downloadFloat64(ops.toFloat64(tensor)), Float64Array.from(part));
    });
});

/** BBᵀ + I: eigenvalues from 1 to a few times `size`. */
function positiveDefinite(size: number): Float64Array {
  const b = draw(size * size);
  const matrix = plainLinearAlgebra.timesTranspose(b, size, b, size, size);
  for (let i = 0; i < size; i++) matrix[i * size + i] += 1;
  return matrix;
}

// Float64 rounding is 1e-16; sums of up to 300 terms and a condition number of a few hundred leave 1e-12 with room.
const FLOAT64 = 1e-12;

test('linear algebra on the engine is that of plain JavaScript', () => {
  const fast = engineAlgebra(ops);
  const before = engine.tensorCount;
  for (const [aRows, bRows, inner] of [
    [1, 1, 1],
    [3, 5, 2],
    [65, 130, 300],
    [17, 1, 64],
  ]) {
    const [a, b] = [draw(aRows * inner), draw(bRows * inner)];
    const product = (algebra: LinearAlgebra) => algebra.timesTranspose(a, aRows, b, bRows, inner);
    assertWithin(
      largestGap(product(fast), product(plainLinearAlgebra)),
      FLOAT64,
      `[${aRows},${inner}]·[${inner},${bRows}]`,
    );
    const square = (algebra: LinearAlgebra) => algebra.timesTranspose(a, aRows, a, aRows, inner);
    assertWithin(largestGap(square(fast), square(plainLinearAlgebra)), FLOAT64, `its square`);
  }
  for (const size of [1, 2, 7, 64, 130, 300]) {
    const matrix = positiveDefinite(size);
    const expected = plainLinearAlgebra.cholesky(matrix, size)!;
    assertWithin(largestGap(fast.cholesky(matrix, size)!, expected), FLOAT64, `cholesky ${size}`);
    // Only the lower triangle is read.
    const spoiled = matrix.map((value, at) => (at % size > Math.floor(at / size) ? Number.NaN : value));
    assert.deepEqual(fast.cholesky(spoiled, size), fast.cholesky(matrix, size));
  }
  assert.ok(engine.tensorCount - before <= 8, 'only constants stay');
});

/** The same in a time that allows large ones: the product is made on the device. */
function largePositiveDefinite(size: number): Float64Array {
  const b = draw(size * 64);
  const matrix = engineAlgebra(ops).timesTranspose(b, size, b, size, 64);
  for (let i = 0; i < size; i++) matrix[i * size + i] += 1;
  return matrix;
}

const wholeCholesky = (matrix: Float64Array, size: number) =>
  engine.scope(() => engine.downloadFloat64(ops.cholesky64(engine.uploadFloat64(matrix, [size, size]))));

test('a large matrix is factored in panels: the factor of one operation up to rounding, each time the same bits', () => {
  const before = engine.tensorCount;
  for (const size of [1537, 2048, 2500]) {
    const matrix = largePositiveDefinite(size);
    const factor = engineAlgebra(ops).cholesky(matrix, size)!;
    assertWithin(largestGap(factor, wholeCholesky(matrix, size)), FLOAT64, `cholesky ${size}`);
    const spoiled = matrix.map((value, at) => (at % size > Math.floor(at / size) ? Number.NaN : value));
    assert.deepEqual(engineAlgebra(ops).cholesky(spoiled, size), factor, 'only the lower triangle is read');
    matrix[(size - 1) * (size + 1)] = -1;
    assert.equal(engineAlgebra(ops).cholesky(matrix, size), null, 'indefinite late');
  }
  const most = largePositiveDefinite(1536);
  assert.deepEqual(engineAlgebra(ops).cholesky(most, 1536), wholeCholesky(most, 1536), 'in one up to here');
  assert.ok(engine.tensorCount - before <= 64, 'only constants stay');
});

test('a large product is made in parts: that of one operation up to rounding, each time the same bits', () => {
  const [aRows, bRows, inner] = [1600, 70, 40];
  const [a, b] = [draw(aRows * inner), draw(bRows * inner)];
  const whole = engine.scope(() => {
    const [left, right] = [engine.uploadFloat64(a, [aRows, inner]), engine.uploadFloat64(b, [bRows, inner])];
    return engine.downloadFloat64(ops.matMul(left, right, false, true));
  });
  const product = engineAlgebra(ops).timesTranspose(a, aRows, b, bRows, inner);
  assertWithin(largestGap(product, whole), FLOAT64, 'the product');
  assert.deepEqual(engineAlgebra(ops).timesTranspose(a, aRows, b, bRows, inner), product);
});

test('the solve of a large system can be given up between its panels', (t) => {
  const size = 3072;
  const matrix = largePositiveDefinite(size);
  const at: number[] = [performance.now()];
  engineAlgebra(ops, () => at.push(performance.now())).cholesky(matrix, size);
  at.push(performance.now());
  const longestMs = at.slice(1).reduce((longest, ms, i) => Math.max(longest, ms - at[i]), 0);
  t.diagnostic(
    `${size} unknowns: ${(at.at(-1)! - at[0]).toFixed(0)} ms, at the most ${longestMs.toFixed(0)} ms at once`,
  );
  assert.ok(at.length > 20, 'looked for often');
  const before = engine.tensorCount;
  for (const many of [1, 2, 9, 20]) {
    let left = many;
    const giveUp = () => {
      left -= 1;
      if (left === 0) throw new Error('given up');
    };
    assert.throws(() => engineAlgebra(ops, giveUp).cholesky(matrix, size), /^Error: given up$/);
    assert.ok(engine.tensorCount - before <= 32, 'only constants stay');
  }
});

test('nothing has nothing as its product and as its factor', () => {
  for (const algebra of [plainLinearAlgebra, engineAlgebra(ops)]) {
    const none = new Float64Array(0);
    assert.equal(algebra.timesTranspose(none, 0, none, 0, 5).length, 0);
    assert.deepEqual(algebra.cholesky(none, 0), none);
  }
});

test('a matrix that is not positive definite has no factor', () => {
  const large = positiveDefinite(200);
  large[150 * 201] = -1;
  const matrices: Record<string, [Float64Array, number]> = {
    indefinite: [Float64Array.of(1, 2, 2, 1), 2],
    singular: [Float64Array.of(1, 0, 0, 0), 2],
    zero: [new Float64Array(9), 3],
    negative: [Float64Array.of(-1), 1],
    'a number that is none': [Float64Array.of(1, 0, Number.NaN, 1), 2],
    'infinite diagonal': [Float64Array.of(1, 0, 0, Number.POSITIVE_INFINITY), 2],
    'indefinite late': [large, 200],
  };
  for (const [what, [matrix, size]] of Object.entries(matrices))
    for (const algebra of [plainLinearAlgebra, engineAlgebra(ops)])
      assert.equal(algebra.cholesky(matrix, size), null, what);
});

test('a scope releases what it made but for its result; an exception releases all', () => {
  const before = engine.tensorCount;
  const made: DeviceTensor[] = [];
  const upload = () => {
    const tensor = engine.upload(Float32Array.of(1, 2), [2]);
    made.push(tensor);
    return tensor;
  };
  const outer = engine.scope(() => {
    upload();
    const inner = engine.scope(() => {
      upload();
      return { list: [upload(), null, { deep: upload() }], other: 'text' };
    });
    assert.equal(engine.tensorCount, before + 3, 'the outer one and the two returned');
    return inner.list[0];
  });
  assert.equal(engine.tensorCount, before + 1, 'what the outer scope did not return went with it');
  engine.dispose(outer as DeviceTensor);
  engine.dispose(outer as DeviceTensor);
  assert.equal(engine.tensorCount, before);

  assert.throws(
    () =>
      engine.scope(() => {
        upload();
        engine.scope(() => {
          upload();
          throw new Error('in the middle');
        });
      }),
    /in the middle/,
  );
  assert.equal(engine.tensorCount, before);
  // The scope that failed is closed: what is made now has no scope and stays.
  const free = upload();
  engine.scope(() => upload());
  assert.equal(engine.tensorCount, before + 1 + 1);
  for (const tensor of made) engine.dispose(tensor);
  assert.equal(engine.tensorCount, before);
  assert.ok(free);
});

test('what is kept outlives every scope, also one that fails', () => {
  const before = engine.tensorCount;
  let kept: DeviceTensor | undefined;
  assert.throws(() =>
    engine.scope(() => {
      engine.scope(() => {
        kept = engine.upload(Float32Array.of(5), [1]);
        engine.keep([kept]);
      });
      throw new Error('later');
    }),
  );
  assert.equal(engine.tensorCount, before + 1);
  assert.deepEqual([...engine.downloadFloat32(kept!)], [5]);
  engine.dispose(kept!);
  assert.equal(engine.tensorCount, before);
});

test('constants are made once; thousands of them are dropped before the next task, and made again', () => {
  const own = new Engine(engine.binding);
  const before = own.tensorCount;
  const many = 9000;
  own.scope(() => {
    const first = own.constant([0, 1]);
    for (let i = 0; i < many; i++) own.constant([i, i + 1]);
    assert.equal(own.constant([0, 1]), first);
    assert.equal(own.tensorCount, before + many);
    own.scope(() => own.scalar(2));
    assert.equal(own.tensorCount, before + many + 1, 'none is dropped while a scope is open');
  });
  own.scope(() => {
    assert.equal(own.tensorCount, before);
    const again = own.constant([0, 1]);
    assert.deepEqual([...(engine.binding.tensorDataSync(again.id) as Int32Array)], [0, 1]);
    engine.binding.deleteTensor(again.id);
  });
  assert.equal(own.tensorCount, before);
});

test('a failed operation is an error of the engine that names the operation and the shapes', () => {
  const before = engine.tensorCount;
  assert.throws(
    () =>
      engine.scope(() =>
        ops.matMul(engine.upload(new Float32Array(6), [2, 3]), engine.upload(new Float32Array(8), [2, 4])),
      ),
    { code: 'engine', message: /^MatMul \[2,3\] \[2,4\]: .*(incompatible|size)/i },
  );
  assert.equal(engine.tensorCount, before);
});

test('a result that no memory can hold is "out_of_memory", and the engine goes on', () => {
  const before = engine.tensorCount;
  // 2⁴⁶ float32 are 256 TiB, more than a process can address: refused however much a system overcommits. TensorFlow waits
  // ten seconds for memory before it says so.
  const side = 2 ** 23;
  assert.throws(
    () =>
      engine.scope(() => {
        const column = engine.upload(new Float32Array(side), [side, 1]);
        ops.matMul(column, column, false, true);
      }),
    { code: 'out_of_memory', message: /^MatMul \[8388608,1\] \[8388608,1\]: .*OOM when allocating/ },
  );
  assert.equal(engine.tensorCount, before);
  engine.scope(() => {
    const two = ops.square(engine.upload(Float32Array.of(3), [1]));
    assert.deepEqual([...engine.downloadFloat32(two)], [9]);
  });
});
