// The TensorFlow operations that the model is written in, as functions. Shapes are checked by TensorFlow; results belong
// to the scope that is open. Float32 where not said otherwise; where the operation's type comes from its
// input it may be float64, too.
//
// On a GPU TensorFlow compiles some of its operations when they are first used, for a tenth of a second and more each: most that map
// one tensor (Exp, Erf, Neg, Relu, Square; not Cast, Tanh, Abs), and Maximum and Minimum. Where others give the same bits, they are
// used; test/integration/engine/compiled-operations.test.ts has the list.
import { AttributeLists } from './attribute-lists.ts';
import type { OpAttribute } from './binding.ts';
import { bool, type DeviceTensor, DOUBLE, type Engine, FLOAT, INT32, int, type } from './engine.ts';

const T = type('T', FLOAT);
const INDEX = type('Tidx', INT32);
const FLOATS = [T];
const DOUBLES = [type('T', DOUBLE)];
const KEEP = [T, INDEX, bool('keep_dims', true)];
const DROP = [T, INDEX, bool('keep_dims', false)];
const KEEP64 = [type('T', DOUBLE), INDEX, bool('keep_dims', true)];
const DROP64 = [type('T', DOUBLE), INDEX, bool('keep_dims', false)];
const FILL = [T, type('index_type', INT32)];
const WIDEN = [type('SrcT', FLOAT), type('DstT', DOUBLE), bool('Truncate', false)];
const NARROW = [type('SrcT', DOUBLE), type('DstT', FLOAT), bool('Truncate', false)];

/** Type numbers and counts share a key: there are fewer types than this. */
const TYPES = 32;
const plain = new AttributeLists();
const products = new AttributeLists();
const batchProducts = new AttributeLists();
const reshapes = new AttributeLists();
const transposes = new AttributeLists();
const slices = new AttributeLists();
const splits = new AttributeLists();
const pads = new AttributeLists();
const gathers = new AttributeLists();
const concats = new AttributeLists();
const sums = new AttributeLists();
const solves = new AttributeLists();

const ofType = ({ dtype }: DeviceTensor): readonly OpAttribute[] => plain.of(dtype, () => [type('T', dtype)]);

const forms = ({ dtype }: DeviceTensor, transposeA: boolean, transposeB: boolean) =>
  4 * dtype + 2 * Number(transposeA) + Number(transposeB);

export class Ops {
  readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  add(a: DeviceTensor, b: DeviceTensor): DeviceTensor {
    return this.engine.op('AddV2', [a, b], ofType(a));
  }

  sub(a: DeviceTensor, b: DeviceTensor): DeviceTensor {
    return this.engine.op('Sub', [a, b], ofType(a));
  }

  mul(a: DeviceTensor, b: DeviceTensor): DeviceTensor {
    return this.engine.op('Mul', [a, b], ofType(a));
  }

  addN(terms: readonly DeviceTensor[]): DeviceTensor {
    return this.engine.op(
      'AddN',
      terms,
      sums.of(terms.length, () => [int('N', terms.length), T]),
    );
  }

  /** Adds `bias` [last axis] to every row. */
  biasAdd(x: DeviceTensor, bias: DeviceTensor): DeviceTensor {
    return this.engine.op('BiasAdd', [x, bias], FLOATS);
  }

  square(x: DeviceTensor): DeviceTensor {
    return this.mul(x, x);
  }

  div(a: DeviceTensor, b: DeviceTensor): DeviceTensor {
    return this.engine.op('RealDiv', [a, b], ofType(a));
  }

  /** 0 where the divisor is. */
  divOrZero(a: DeviceTensor, b: DeviceTensor): DeviceTensor {
    return this.engine.op('DivNoNan', [a, b], ofType(a));
  }

  neg(x: DeviceTensor): DeviceTensor {
    const minusOne = this.engine.scalar(-1);
    return this.mul(x, x.dtype === DOUBLE ? this.toFloat64(minusOne) : minusOne);
  }

  rsqrt(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Rsqrt', [x], FLOATS);
  }

  exp(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Exp', [x], ofType(x));
  }

  /** log(1 + exp(x)) */
  softplus(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Softplus', [x], ofType(x));
  }

  /** 1 / (1 + exp(−x)) */
  sigmoid(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Sigmoid', [x], ofType(x));
  }

  erf(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Erf', [x], FLOATS);
  }

  tanh(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Tanh', [x], FLOATS);
  }

  /** dy · (1 − y²), with y = tanh(x). */
  tanhGrad(y: DeviceTensor, dy: DeviceTensor): DeviceTensor {
    return this.engine.op('TanhGrad', [y, dy], FLOATS);
  }

  relu(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Relu', [x], FLOATS);
  }

  /** dy where `features` (the input or the output of relu) is positive, else 0. */
  reluGrad(dy: DeviceTensor, features: DeviceTensor): DeviceTensor {
    return this.engine.op('ReluGrad', [dy, features], FLOATS);
  }

  /** Softmax over the last axis. */
  softmax(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Softmax', [x], FLOATS);
  }

  /** Logarithm of the softmax over the last axis. */
  logSoftmax(x: DeviceTensor): DeviceTensor {
    return this.engine.op('LogSoftmax', [x], ofType(x));
  }

  /** float32, `value` at each index of an axis that is added: the last, or `axis`. Zeros for an index that is not on it.
   * @param indices int32 */
  oneHot(indices: DeviceTensor, depth: number, { axis = -1, value = 1 } = {}): DeviceTensor {
    const { engine } = this;
    const inputs = [indices, engine.constant([depth], []), engine.scalar(value), engine.scalar(0)];
    return engine.op('OneHot', inputs, [int('axis', axis), T, type('TI', INT32)]);
  }

  /** The same numbers under a name of its own (memory is shared until one of them is released). */
  copy(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Identity', [x], ofType(x));
  }

  /** Mean over the last axis, kept with size 1. */
  meanLast(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Mean', [x, this.engine.constant([-1])], KEEP);
  }

  /** Sum over the last axis, kept with size 1. */
  sumLast(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Sum', [x, this.engine.constant([-1])], KEEP);
  }

  /** Sum over `axes`, which disappear. */
  sum(x: DeviceTensor, axes: readonly number[]): DeviceTensor {
    return this.engine.op('Sum', [x, this.engine.constant(axes)], DROP);
  }

  /** a [m,k] · b [k,n], either transposed first. */
  matMul(a: DeviceTensor, b: DeviceTensor, transposeA = false, transposeB = false): DeviceTensor {
    const attributes = products.of(forms(a, transposeA, transposeB), () => [
      bool('transpose_a', transposeA),
      bool('transpose_b', transposeB),
      type('T', a.dtype),
    ]);
    return this.engine.op('MatMul', [a, b], attributes);
  }

  /** Products of the last two axes, either transposed first. */
  batchMatMul(a: DeviceTensor, b: DeviceTensor, transposeA = false, transposeB = false): DeviceTensor {
    const attributes = batchProducts.of(forms(a, transposeA, transposeB), () => [
      bool('adj_x', transposeA),
      bool('adj_y', transposeB),
      type('T', a.dtype),
    ]);
    return this.engine.op('BatchMatMulV2', [a, b], attributes);
  }

  reshape(x: DeviceTensor, shape: readonly number[]): DeviceTensor {
    const attributes = reshapes.of(x.dtype, () => [type('T', x.dtype), type('Tshape', INT32)]);
    return this.engine.op('Reshape', [x, this.engine.constant(shape)], attributes);
  }

  transpose(x: DeviceTensor, permutation: readonly number[]): DeviceTensor {
    const attributes = transposes.of(x.dtype, () => [type('T', x.dtype), type('Tperm', INT32)]);
    return this.engine.op('Transpose', [x, this.engine.constant(permutation)], attributes);
  }

  /** Part of `x`; a size of -1 reaches to the end of the axis. */
  slice(x: DeviceTensor, begin: readonly number[], size: readonly number[]): DeviceTensor {
    const inputs = [x, this.engine.constant(begin), this.engine.constant(size)];
    const attributes = slices.of(x.dtype, () => [type('T', x.dtype), type('Index', INT32)]);
    return this.engine.op('Slice', inputs, attributes);
  }

  /** Neighbouring parts along an axis, as many as each size says: all of it. */
  split(x: DeviceTensor, sizes: readonly number[], axis: number): DeviceTensor[] {
    if (sizes.length === 1) return [x];
    const { engine } = this;
    const attributes = splits.of(sizes.length * TYPES + x.dtype, () => [
      int('num_split', sizes.length),
      type('T', x.dtype),
      type('Tlen', INT32),
    ]);
    const inputs = [x, engine.constant(sizes), engine.constant([axis], [])];
    return engine.opOutputs('SplitV', inputs, attributes, sizes.length);
  }

  /** A tensor of ones. */
  ones(shape: readonly number[]): DeviceTensor {
    return this.filled(shape, 1);
  }

  /** A tensor of one number. */
  filled(shape: readonly number[], value: number): DeviceTensor {
    const { engine } = this;
    return engine.op('Fill', [engine.constant(shape), engine.scalar(value)], FILL);
  }

  /** Zeros around `x`: [before, after] for each axis. */
  pad(x: DeviceTensor, paddings: readonly (readonly [number, number])[]): DeviceTensor {
    const table = this.engine.constant(paddings.flat(), [paddings.length, 2]);
    const attributes = pads.of(x.dtype, () => [type('T', x.dtype), type('Tpaddings', INT32)]);
    return this.engine.op('Pad', [x, table], attributes);
  }

  /** Rows (axis 0) or columns (axis 1) of `x` by index, an int32 tensor. */
  gather(x: DeviceTensor, indices: DeviceTensor, axis = 0): DeviceTensor {
    const attributes = gathers.of(x.dtype, () => [
      int('batch_dims', 0),
      type('Tparams', x.dtype),
      type('Tindices', INT32),
      type('Taxis', INT32),
    ]);
    return this.engine.op('GatherV2', [x, indices, this.engine.constant([axis], [])], attributes);
  }

  concat(parts: readonly DeviceTensor[], axis: number): DeviceTensor {
    if (parts.length === 1) return parts[0]!;
    const { dtype } = parts[0]!;
    const attributes = concats.of(parts.length * TYPES + dtype, () => [
      int('N', parts.length),
      type('T', dtype),
      INDEX,
    ]);
    return this.engine.op('ConcatV2', [...parts, this.engine.constant([axis], [])], attributes);
  }

  toFloat64(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Cast', [x], WIDEN);
  }

  /** Rounds float64 to the nearest float32. */
  toFloat32(x: DeviceTensor): DeviceTensor {
    return this.engine.op('Cast', [x], NARROW);
  }

  /** Sum over `axes`, which disappear, or stay with size 1. */
  sum64(x: DeviceTensor, axes: readonly number[], keepAxes = false): DeviceTensor {
    return this.engine.op('Sum', [x, this.engine.constant(axes)], keepAxes ? KEEP64 : DROP64);
  }

  /** Half the sum of the squares of a float64 tensor, []. */
  halfSquares64(x: DeviceTensor): DeviceTensor {
    return this.engine.op('L2Loss', [x], DOUBLES);
  }

  /** The diagonal of a float64 matrix. */
  diagonal64(matrix: DeviceTensor): DeviceTensor {
    return this.engine.op('MatrixDiagPart', [matrix], DOUBLES);
  }

  /** The float64 matrix with this diagonal and 0 elsewhere. */
  diagonalMatrix64(diagonal: DeviceTensor): DeviceTensor {
    return this.engine.op('MatrixDiag', [diagonal], DOUBLES);
  }

  /** A float64 matrix with another diagonal. */
  withDiagonal64(matrix: DeviceTensor, diagonal: DeviceTensor): DeviceTensor {
    return this.engine.op('MatrixSetDiag', [matrix, diagonal], DOUBLES);
  }

  /** Lower Cholesky factor of a float64 matrix, of which the lower triangle is read; NaN when it is not positive definite. */
  cholesky64(matrix: DeviceTensor): DeviceTensor {
    return this.engine.op('Cholesky', [matrix], DOUBLES);
  }

  /** Solves L x = b, or Lᵀ x = b with `adjoint`; L lower triangular, float64. */
  triangularSolve64(factor: DeviceTensor, right: DeviceTensor, adjoint: boolean): DeviceTensor {
    const attributes = solves.of(Number(adjoint), () => [
      bool('lower', true),
      bool('adjoint', adjoint),
      type('T', DOUBLE),
    ]);
    return this.engine.op('MatrixTriangularSolve', [factor, right], attributes);
  }
}
