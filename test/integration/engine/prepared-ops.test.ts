// Operations that are prepared once give what the package's own way of calling them gives: bits, shapes, types and errors.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { loadBinding, type OpAttribute, type TensorflowBinding } from '../../../worker/engine/binding.ts';
import { type PreparedCalls, withPreparedOps } from '../../../worker/engine/prepared-ops.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';

const [FLOAT, INT32, DOUBLE] = [1, 3, 2];

engineUnderTest();
const prepared = loadBinding();
const native = createRequire(import.meta.url)(
  '@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node',
) as TensorflowBinding & PreparedCalls;

const type = (name: string, value: number): OpAttribute => ({ name, type: native.TF_ATTR_TYPE, value });
const bool = (name: string, value: boolean): OpAttribute => ({ name, type: native.TF_ATTR_BOOL, value });
const int = (name: string, value: number): OpAttribute => ({ name, type: native.TF_ATTR_INT, value });

const random = randomStream(1, 'prepared');
const floats = (...shape: number[]) =>
  native.createTensor(
    shape,
    FLOAT,
    new Float32Array(shape.reduce((a, b) => a * b, 1)).map(() => random.uniform() - 0.5),
  );
const ints = (shape: number[], ...values: number[]) => native.createTensor(shape, INT32, Int32Array.from(values));

/** [attributes, inputs, outputs] by operation: those that TensorFlow replaces on a CPU, several outputs, no outputs' sizes known
 * ahead, each kind of attribute, many inputs. */
const CASES: Readonly<Record<string, readonly [OpAttribute[], number[], number]>> = {
  MatMul: [
    [bool('transpose_a', false), bool('transpose_b', true), type('T', FLOAT)],
    [floats(37, 65), floats(19, 65)],
    1,
  ],
  BatchMatMulV2: [
    [bool('adj_x', true), bool('adj_y', false), type('T', FLOAT)],
    [floats(3, 2, 33, 9), floats(3, 2, 33, 7)],
    1,
  ],
  Softmax: [[type('T', FLOAT)], [floats(5, 77)], 1],
  Sum: [[type('T', FLOAT), type('Tidx', INT32), bool('keep_dims', false)], [floats(300, 41), ints([1], 0)], 1],
  Cast: [[type('SrcT', FLOAT), type('DstT', DOUBLE), bool('Truncate', false)], [floats(4)], 1],
  Reshape: [[type('T', FLOAT), type('Tshape', INT32)], [floats(4, 6), ints([3], 2, -1, 3)], 1],
  SplitV: [
    [int('num_split', 3), type('T', FLOAT), type('Tlen', INT32)],
    [floats(7, 9), ints([3], 4, 0, 5), ints([], 1)],
    3,
  ],
  ConcatV2: [
    [int('N', 20), type('T', FLOAT), type('Tidx', INT32)],
    [...Array.from({ length: 20 }, () => floats(2, 3)), ints([], 0)],
    1,
  ],
  Cholesky: [[type('T', FLOAT)], [native.createTensor([2, 2], FLOAT, Float32Array.of(4, 2, 2, 3))], 1],
};

for (const [name, [attributes, inputs, outputs]] of Object.entries(CASES))
  test(`${name}: the same bits, the first time and later, whichever list of attributes`, () => {
    const tensors = native.getNumOfTensors();
    const run = (binding: TensorflowBinding, list: OpAttribute[]) =>
      binding.executeOp(name, list, inputs, outputs).map(({ id, shape, dtype }) => {
        // Float64 has no array of its own here: its bits are read as whole numbers.
        const whole = [type('T', dtype), type('type', INT32)];
        const bits = dtype === DOUBLE ? native.executeOp('Bitcast', whole, [id], 1)[0]!.id : id;
        const data = native.tensorDataSync(bits);
        for (const made of new Set([id, bits])) native.deleteTensor(made);
        return { shape, dtype, data };
      });
    const expected = run(native, attributes);
    for (const list of [attributes, attributes, [...attributes]]) assert.deepEqual(run(prepared, list), expected);
    assert.equal(native.getNumOfTensors(), tensors);
  });

test('as many outputs as an upload of a shard has parts', () => {
  const count = 20_000;
  const attributes = [int('num_split', count), type('T', FLOAT), type('Tlen', INT32)];
  const sizes = native.createTensor([count], INT32, new Int32Array(count).fill(1));
  const parts = prepared.executeOp('SplitV', attributes, [floats(count), sizes, ints([], 0)], count);
  assert.deepEqual([parts.length, parts[count - 1]!.shape], [count, [1]]);
  for (const { id } of parts) prepared.deleteTensor(id);
});

test('what is wrong is said as the package says it, also of an operation that has run before', () => {
  const message = (binding: TensorflowBinding, ...call: Parameters<TensorflowBinding['executeOp']>) => {
    try {
      binding.executeOp(...call);
    } catch (error) {
      // Which function TensorFlow wraps an operation in is no part of what is wrong.
      return (error as Error).message.replace(/\{\{.*?\}\} /g, '').split(' [Op:')[0];
    }
    return 'none';
  };
  const [attributes, inputs] = CASES.MatMul!;
  const wrong = [inputs[0]!, floats(3, 4)];
  for (let round = 0; round < 2; round++) {
    const said = message(prepared, 'MatMul', attributes, wrong, 1);
    assert.match(said, /Invalid TF_Status: 3\n/);
    assert.equal(said, message(native, 'MatMul', attributes, wrong, 1));
    prepared.executeOp('MatMul', attributes, inputs, 1);
  }
  const other = [inputs[0]!, ints([1], 7)];
  assert.match(message(prepared, 'MatMul', attributes, other, 1), /Invalid TF_Status: 3\n/, 'another type');
  assert.match(
    message(prepared, 'MatMul', attributes, [1e9, 1e9], 1),
    /Input Tensor ID not referenced \(tensor_id: 1000000000\)/,
  );
  assert.match(message(prepared, 'NoSuchOp', [], inputs, 1), /NoSuchOp/);
  assert.throws(() => native.runOp(-1), /expected an operation that was prepared/);
});

test('a binding that was compiled before is used as it is', () => {
  const before = { executeOp: native.executeOp } as unknown as TensorflowBinding;
  assert.equal(withPreparedOps(before), before);
});
