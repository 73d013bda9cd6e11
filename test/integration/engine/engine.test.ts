// The engine and its operations on TensorFlow itself: exact transfers, releases, and what TensorFlow says
// when it fails.
import assert from 'node:assert/strict';
import test from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { type DeviceTensor, Engine } from '../../../worker/engine/engine.ts';
import { bindingWith } from '../../support/binding-with.ts';
import { testContext } from '../../support/engine.ts';

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
      // Number by number, zeros with their signs: a NaN of a GPU has other bits, and is NaN all the same.
      assert.deepEqual([...engine.downloadFloat64(ops.toFloat64(tensor))], [...part]);
    });
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

test('products round to TF32 inside its precision, on a GPU that has it', () => {
  const onGpu = bindingWith(engine.binding, { isUsingGpuDevice: () => true });
  const engineWith = (binding: typeof engine.binding, capability: number) =>
    new Engine(binding, { allowTf32() {}, computeCapability: () => capability });
  const inside = (own: Engine) => own.withPrecision('tf32', () => own.roundsToTf32);
  assert.equal(inside(engineWith(onGpu, 80)), process.env.NVIDIA_TF32_OVERRIDE !== '0');
  assert.equal(inside(engineWith(onGpu, 75)), false);
  assert.equal(inside(engineWith(bindingWith(engine.binding, { isUsingGpuDevice: () => false }), 80)), false);
  assert.equal(engineWith(onGpu, 80).roundsToTf32, false, 'outside');
});

test('a precision holds inside its body, also when that throws, and calls nest', () => {
  const allowed: boolean[] = [];
  const library = { allowTf32: (now: boolean) => void allowed.push(now), computeCapability: () => 90 };
  const own = new Engine(engine.binding, library);
  const found = own.withPrecision('tf32', () => {
    own.withPrecision('tf32', () => assert.deepEqual(allowed, [true], 'set once'));
    assert.throws(
      () =>
        own.withPrecision('float32', () => {
          assert.deepEqual(allowed, [true, false]);
          throw new Error('inside');
        }),
      /^Error: inside$/,
    );
    assert.deepEqual(allowed, [true, false, true], 'back to what was around it');
    return 7;
  });
  assert.equal(found, 7);
  assert.deepEqual(allowed, [true, false, true, false]);
  const without = new Engine(engine.binding, null);
  assert.equal(
    without.withPrecision('tf32', () => 8),
    8,
  );
});
