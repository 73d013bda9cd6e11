// The normal equations of one sub-layer's scales, AᵀA s = Aᵀb, as sums over positions: what workers hand each other.
//
// X [positions, n] are the student's features (contexts of the kept heads, or activations of the kept neurons), R
// [positions, D] is the teacher's sub-layer output less the student's residual and bias, W [n, D] the student's output
// projection. Scale i moves the output by o_i = Σ_{f in block i} X[:, f] ⊗ W[f, :]; A has the flattened o_i as columns.
// The system is linear in the sums over positions, so parts of it are added like any sum.
import { EspalierError } from '../shared/errors.ts';
import { elementCount, type NamedTensor } from '../shared/tensor.ts';
import { packedLength } from './fisher.ts';

/** Sums over unpadded positions; all float64. */
export interface ScaleSums {
  /** k */
  readonly scales: number;
  /** AᵀA from its diagonal on, at least: the panels of rows that a worker makes, one after the other. All workers of one
   * device class cut it in the same way, in k (k + 1) / 2 to k² elements. */
  readonly matrix: Float64Array;
  /** Aᵀb, [k]. */
  readonly right: Float64Array;
  /** Attention: what AᵀA has in the column of the offset, [k]; FFN: empty. */
  readonly offset: Float64Array;
  /** Sum of all elements of R; FFN: 0. */
  readonly targetSum: number;
  /** Sum of the squares of all elements of R. */
  readonly targetSquares: number;
  /** Positions that were summed. */
  readonly positions: number;
}

/** a + b, element by element, into the arrays of `a`, which are its no more. Floating point: fold in the order of
 * fold-tree.ts. @throws EspalierError "shape_mismatch" when the sizes differ. */
export function addSumsTo(a: ScaleSums, b: ScaleSums): ScaleSums {
  if (a.scales !== b.scales || a.matrix.length !== b.matrix.length || a.offset.length !== b.offset.length)
    throw new EspalierError('shape_mismatch', `sub-layer sums: got those of ${sizes(b)}, expected ${sizes(a)}`);
  return {
    scales: a.scales,
    matrix: addTo(a.matrix, b.matrix),
    right: addTo(a.right, b.right),
    offset: addTo(a.offset, b.offset),
    targetSum: a.targetSum + b.targetSum,
    targetSquares: a.targetSquares + b.targetSquares,
    positions: a.positions + b.positions,
  };
}

/** The result tensors of a normal-equations task (worker.proto). The data is shared, not copied. */
export function sumsToTensors(sums: ScaleSums): NamedTensor[] {
  return [
    sumsTensor('matrix', sums.matrix),
    sumsTensor('right', sums.right),
    sumsTensor('offset', sums.offset),
    sumsTensor('target_sum', Float64Array.of(sums.targetSum)),
    sumsTensor('target_squares', Float64Array.of(sums.targetSquares)),
    sumsTensor('positions', Float64Array.of(sums.positions)),
  ];
}

/** The inverse of `sumsToTensors`.
 * @throws EspalierError "protocol" for a tensor that is missing or of another type or size, "not_finite" for a number
 * that is not finite. */
export function sumsFromTensors(tensors: ReadonlyMap<string, NamedTensor>): ScaleSums {
  const read = (name: string, fits: (length: number) => boolean, expected: string) =>
    wholeVector(tensors, name, fits, expected);
  const one = (name: string) => read(name, (length) => length === 1, '1')[0];
  const right = read('right', () => true, 'scales');
  const scales = right.length;
  return {
    scales,
    matrix: symmetricFrom(tensors, 'matrix', scales),
    right,
    offset: read('offset', (length) => length === 0 || length === scales, `0 or ${scales}`),
    targetSum: one('target_sum'),
    targetSquares: one('target_squares'),
    positions: one('positions'),
  };
}

/** Sums as a tensor of a result, a vector of float64. */
export function sumsTensor(name: string, data: Float64Array): NamedTensor {
  return { name, dtype: 'F64', shape: [data.length], data };
}

/** Positions that were summed. @throws EspalierError "protocol" for what is no count; those of `wholeVector`. */
export function positionsFrom(tensors: ReadonlyMap<string, NamedTensor>): number {
  const [positions] = wholeVector(tensors, 'positions', (length) => length === 1, '1');
  if (Number.isSafeInteger(positions) && positions >= 0) return positions;
  throw new EspalierError('protocol', `positions: got ${positions}, expected a whole number`);
}

/** A symmetric matrix from its diagonal on, at least. @param size of its rows. @throws as `wholeVector`. */
export function symmetricFrom(tensors: ReadonlyMap<string, NamedTensor>, name: string, size: number): Float64Array {
  const [least, most] = [packedLength(size), size ** 2];
  return wholeVector(tensors, name, (length) => length >= least && length <= most, `${least} to ${most}`);
}

/** The data of a tensor that `sumsTensor` made. @param fits whether it may be so long. @param expected its length in words.
 * @throws EspalierError "protocol" where it is missing or of another type or size, "not_finite". */
export function wholeVector(
  tensors: ReadonlyMap<string, NamedTensor>,
  name: string,
  fits: (length: number) => boolean,
  expected: string,
): Float64Array {
  const tensor = tensors.get(name);
  if (!tensor) throw new EspalierError('protocol', `sub-layer sums: tensor "${name}" is missing`);
  const { shape, data } = tensor;
  const isWhole = data instanceof Float64Array && shape.length === 1 && data.length === elementCount(shape);
  if (!isWhole || !fits(data.length))
    throw new EspalierError(
      'protocol',
      `${name}: got ${tensor.dtype} [${shape}] of ${data.length} elements, expected F64 [${expected}]`,
    );
  requireFinite(name, data);
  return data;
}

/** @throws EspalierError "not_finite" naming the number that is not finite. */
export function requireFinite(name: string, values: Float64Array): void {
  let bad = 0;
  for (let at = 0; at < values.length; at++) bad += values[at] * 0;
  if (bad === 0) return;
  const at = values.findIndex((value) => !Number.isFinite(value));
  throw new EspalierError('not_finite', `sub-layer sums, ${name} ${at}: got ${values[at]}, expected a finite number`);
}

function sizes({ scales, matrix, offset }: ScaleSums): string {
  return `${scales} scales, ${matrix.length} elements${offset.length > 0 ? ', with an offset' : ''}`;
}

/** a + b, into `a`. */
export function addTo(a: Float64Array, b: Float64Array): Float64Array {
  for (let at = 0; at < a.length; at++) a[at] += b[at];
  return a;
}
