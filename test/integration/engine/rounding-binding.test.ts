// Products with inputs of fewer stored bits, as tests of TF32 and the benchmark of bfloat16 have them. References: TensorFlow's own
// bfloat16, and the nearest number of so many bits; random numbers have no ties, where the two roundings differ.
import assert from 'node:assert/strict';
import test from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { loadBinding } from '../../../worker/engine/binding.ts';
import { type DeviceTensor, Engine, FLOAT, type } from '../../../worker/engine/engine.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { BFLOAT16_BITS, roundingBinding, TF32_BITS } from '../../support/rounding-binding.ts';

const SIZE = 16;
/** TensorFlow's number for bfloat16 (tensorflow/core/framework/types.proto). */
const BFLOAT16 = 14;

let stored: number | null = null;
const engine = new Engine(
  roundingBinding(loadBinding(), () => stored),
  null,
);
const ops = new Ops(engine);
const random = randomStream(3, 'rounding');
const values = new Float32Array(SIZE * SIZE).map(() => (random.uniform() - 0.5) * 2 ** (20 * random.uniform() - 10));
const identity = new Float32Array(SIZE * SIZE).map((_, i) => (i % (SIZE + 1) === 0 ? 1 : 0));

/** What a product makes of `values` where its other factor changes nothing. */
function multiplied(bits: number | null, product: (x: DeviceTensor, one: DeviceTensor) => DeviceTensor): Float32Array {
  stored = bits;
  try {
    return engine.scope(() =>
      engine.downloadFloat32(product(engine.upload(values, [1, SIZE, SIZE]), engine.upload(identity, [1, SIZE, SIZE]))),
    );
  } finally {
    stored = null;
  }
}

const batched = (x: DeviceTensor, one: DeviceTensor) => ops.batchMatMul(x, one);
const single = (x: DeviceTensor, one: DeviceTensor) =>
  ops.matMul(ops.reshape(x, [SIZE, SIZE]), ops.reshape(one, [SIZE, SIZE]));

/** The nearest number with so many bits after the first. */
function nearest(value: number, bits: number): number {
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - bits);
  return Math.round(value / unit) * unit;
}

for (const [name, product] of Object.entries({ MatMul: single, BatchMatMulV2: batched })) {
  test(`${name} of 7 bits multiplies what TensorFlow's bfloat16 keeps`, () => {
    const cast = (x: DeviceTensor, from: number, to: number) =>
      engine.op('Cast', [x], [type('SrcT', from), type('DstT', to)]);
    const kept = engine.scope(() =>
      engine.downloadFloat32(cast(cast(engine.upload(values, [values.length]), FLOAT, BFLOAT16), BFLOAT16, FLOAT)),
    );
    assert.deepEqual(multiplied(BFLOAT16_BITS, product), kept);
    assert.notDeepEqual(kept, values);
  });

  for (const bits of [TF32_BITS, BFLOAT16_BITS])
    test(`${name} of ${bits} bits multiplies the nearest numbers of so many`, () =>
      assert.deepEqual(
        multiplied(bits, product),
        values.map((value) => nearest(value, bits)),
      ));

  test(`${name} of all bits multiplies what it is given`, () => assert.deepEqual(multiplied(null, product), values));
}

test('what else is computed keeps all bits, and nothing is left behind', () => {
  const before = engine.tensorCount;
  stored = BFLOAT16_BITS;
  const sum = engine.scope(() => {
    const x = engine.upload(values, [SIZE, SIZE]);
    single(x, x);
    return engine.downloadFloat32(ops.add(x, engine.upload(new Float32Array(1), [1])));
  });
  stored = null;
  assert.deepEqual(sum, values);
  assert.equal(engine.tensorCount, before);
});
