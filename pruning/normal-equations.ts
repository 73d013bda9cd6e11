// The least squares problem of one sub-layer as sums over positions, and the small system of its scales made from them.
//
// X [positions, n] are the student's features (contexts of the kept heads, or activations of the kept neurons), R
// [positions, D] is the teacher's sub-layer output less the student's residual and bias, W [n, D] the student's output
// projection. A block of `blockSize` rows of W belongs to one scale: d for a head, 1 for a neuron. Scale i moves the
// output by o_i = Σ_{f in block i} X[:, f] ⊗ W[f, :]; A has the flattened o_i as columns, so that
//   (AᵀA)_ij = Σ over block (i, j) of (W·Wᵀ) ⊙ (XᵀX),   (Aᵀb)_i = Σ over block i of (XᵀR) ⊙ W.
// Nothing of the size positions · D · scales is ever formed.
import { EspalierError } from '../shared/errors.ts';
import { elementCount, type NamedTensor } from '../shared/tensor.ts';
import { packedLength } from './fisher.ts';
import type { LinearAlgebra } from './linear-algebra.ts';

/** Sums over unpadded positions; all float64. */
export interface SubLayerSums {
  /** n: kept heads · head size, or kept neurons; may be 0. */
  readonly features: number;
  /** D. */
  readonly hiddenSize: number;
  /** XᵀX, upper triangle by rows, [n (n + 1) / 2]. */
  readonly gram: Float64Array;
  /** XᵀR, [n, D]. */
  readonly cross: Float64Array;
  /** Column sums of X, [n]. */
  readonly featureSums: Float64Array;
  /** Sum of all elements of R. */
  readonly targetSum: number;
  /** Sum of the squares of all elements of R. */
  readonly targetSquares: number;
  /** Positions that were summed. */
  readonly positions: number;
}

/** a + b, element by element. Floating point: fold in the order of fold-tree.ts.
 * @throws EspalierError "shape_mismatch" when the sizes differ. */
export function addSums(a: SubLayerSums, b: SubLayerSums): SubLayerSums {
  return joinSums(a, b, add);
}

/** `addSums` into the arrays of `a`, which are its no more: the same bits, without memory for a third. */
export function addSumsTo(a: SubLayerSums, b: SubLayerSums): SubLayerSums {
  return joinSums(a, b, addTo);
}

function joinSums(
  a: SubLayerSums,
  b: SubLayerSums,
  join: (a: Float64Array, b: Float64Array) => Float64Array,
): SubLayerSums {
  if (a.features !== b.features || a.hiddenSize !== b.hiddenSize)
    throw new EspalierError(
      'shape_mismatch',
      `sub-layer sums: got [${b.features},${b.hiddenSize}], expected [${a.features},${a.hiddenSize}]`,
    );
  return {
    features: a.features,
    hiddenSize: a.hiddenSize,
    gram: join(a.gram, b.gram),
    cross: join(a.cross, b.cross),
    featureSums: join(a.featureSums, b.featureSums),
    targetSum: a.targetSum + b.targetSum,
    targetSquares: a.targetSquares + b.targetSquares,
    positions: a.positions + b.positions,
  };
}

/** The result tensors of a normal-equations task (worker.proto). The data is shared, not copied. */
export function sumsToTensors(sums: SubLayerSums): NamedTensor[] {
  const f64 = (name: string, shape: number[], data: Float64Array): NamedTensor => ({ name, dtype: 'F64', shape, data });
  return [
    f64('gram', [sums.gram.length], sums.gram),
    f64('cross', [sums.features, sums.hiddenSize], sums.cross),
    f64('feature_sums', [sums.features], sums.featureSums),
    f64('target_sum', [1], Float64Array.of(sums.targetSum)),
    f64('target_squares', [1], Float64Array.of(sums.targetSquares)),
    f64('positions', [1], Float64Array.of(sums.positions)),
  ];
}

/** The inverse of `sumsToTensors`.
 * @throws EspalierError "protocol" for a tensor that is missing or of another type or size, "not_finite" for a number
 * that is not finite. */
export function sumsFromTensors(tensors: ReadonlyMap<string, NamedTensor>): SubLayerSums {
  const read = (name: string, expected?: readonly number[]): { shape: readonly number[]; data: Float64Array } => {
    const tensor = tensors.get(name);
    if (!tensor) throw new EspalierError('protocol', `sub-layer sums: tensor "${name}" is missing`);
    const { shape, data } = tensor;
    const fits = expected === undefined || String(shape) === String(expected);
    if (!(data instanceof Float64Array) || data.length !== elementCount(shape) || !fits)
      throw new EspalierError(
        'protocol',
        `${name}: got ${tensor.dtype} [${shape}] of ${data.length} elements, expected F64${expected ? ` [${expected}]` : ''}`,
      );
    return { shape, data };
  };
  const cross = read('cross');
  if (cross.shape.length !== 2)
    throw new EspalierError('protocol', `cross: got shape [${cross.shape}], expected [features,hidden size]`);
  const [features, hiddenSize] = cross.shape;
  const sums: SubLayerSums = {
    features,
    hiddenSize,
    gram: read('gram', [packedLength(features)]).data,
    cross: cross.data,
    featureSums: read('feature_sums', [features]).data,
    targetSum: read('target_sum', [1]).data[0],
    targetSquares: read('target_squares', [1]).data[0],
    positions: read('positions', [1]).data[0],
  };
  checkFinite(sums);
  return sums;
}

/** @throws EspalierError "not_finite" naming the sum that is not finite. */
export function checkFinite(sums: SubLayerSums): void {
  const { gram, cross, featureSums, targetSum, targetSquares, positions } = sums;
  const parts = { gram, cross, featureSums, scalars: Float64Array.of(targetSum, targetSquares, positions) };
  for (const [name, values] of Object.entries(parts)) {
    let bad = 0;
    for (let at = 0; at < values.length; at++) bad += values[at] * 0;
    if (bad === 0) continue;
    const at = values.findIndex((value) => !Number.isFinite(value));
    throw new EspalierError('not_finite', `sub-layer sums, ${name} ${at}: got ${values[at]}, expected a finite number`);
  }
}

/** The student's output projection with what every system of the sub-layer shares. */
export interface OutputProjection {
  readonly features: number;
  readonly hiddenSize: number;
  /** Consecutive features of one scale. */
  readonly blockSize: number;
  /** W [n, D], row f is feature f: the transpose of Hugging Face's [out, in]. */
  readonly weight: Float64Array;
  /** W·Wᵀ [n, n]. */
  readonly products: Float64Array;
  /** Σ_d W[f, d], [n]. */
  readonly rowSums: Float64Array;
}

/** @throws EspalierError "shape_mismatch" when the weight is not [n, D] or n no multiple of the block size. */
export function outputProjection(
  weight: Float64Array,
  sizes: { features: number; hiddenSize: number; blockSize: number },
  algebra: LinearAlgebra,
): OutputProjection {
  const { features, hiddenSize, blockSize } = sizes;
  if (weight.length !== features * hiddenSize || features % blockSize !== 0)
    throw new EspalierError(
      'shape_mismatch',
      `output projection: got ${weight.length} elements in blocks of ${blockSize}, expected [${features},${hiddenSize}]`,
    );
  const rowSums = new Float64Array(features);
  for (let f = 0, at = 0; f < features; f++) for (let d = 0; d < hiddenSize; d++, at++) rowSums[f] += weight[at];
  const products = algebra.timesTranspose(weight, features, weight, features, hiddenSize);
  return { features, hiddenSize, blockSize, weight, products, rowSums };
}

/** The normal equations of the scales: AᵀA s = Aᵀb. */
export interface ScaleSystem {
  /** k scales. */
  readonly scales: number;
  /** k, or k + 1 with the offset as the last unknown. */
  readonly size: number;
  /** AᵀA, full and symmetric, [size, size]. */
  readonly matrix: Float64Array;
  /** Aᵀb, [size]. */
  readonly right: Float64Array;
  /** |b|². */
  readonly targetSquares: number;
  /** Rows of A: positions · D. */
  readonly coordinates: number;
}

/** Makes the system from the sums. With the offset, A's last column is all ones: one constant for every coordinate, which
 * the LayerNorm that follows removes. @param between called at each feature and row; may throw.
 * @throws EspalierError "shape_mismatch" when sums and projection differ in size. */
export function scaleSystem(
  sums: SubLayerSums,
  projection: OutputProjection,
  withOffset: boolean,
  between: () => void = () => {},
): ScaleSystem {
  const { features, hiddenSize, blockSize, weight, products, rowSums } = projection;
  if (sums.features !== features || sums.hiddenSize !== hiddenSize)
    throw new EspalierError(
      'shape_mismatch',
      `sub-layer sums: got [${sums.features},${sums.hiddenSize}], expected [${features},${hiddenSize}]`,
    );
  const scales = features / blockSize;
  const size = scales + (withOffset ? 1 : 0);
  const matrix = new Float64Array(size * size);
  const right = new Float64Array(size);
  for (let f = 0, at = 0; f < features; f++) {
    between();
    const i = Math.floor(f / blockSize);
    // Column f alone, then each later column twice where it lies in the same block (once as itself, once mirrored).
    for (let g = f; g < features; g++, at++) {
      const j = blockSize === 1 ? g : Math.floor(g / blockSize);
      matrix[i * size + j] += sums.gram[at] * products[f * features + g] * (i === j && g !== f ? 2 : 1);
    }
    let value = 0;
    for (let d = 0, from = f * hiddenSize; d < hiddenSize; d++, from++) value += sums.cross[from] * weight[from];
    right[i] += value;
    if (withOffset) matrix[i * size + scales] += sums.featureSums[f] * rowSums[f];
  }
  const coordinates = sums.positions * hiddenSize;
  if (withOffset) {
    matrix[size * size - 1] = coordinates;
    right[scales] = sums.targetSum;
  }
  for (let i = 0; i < size; i++) {
    between();
    for (let j = 0; j < i; j++) matrix[i * size + j] = matrix[j * size + i];
  }
  return { scales, size, matrix, right, targetSquares: sums.targetSquares, coordinates };
}

/** The system of two disjoint sets of positions together. */
export function addSystems(a: ScaleSystem, b: ScaleSystem): ScaleSystem {
  return {
    scales: a.scales,
    size: a.size,
    matrix: add(a.matrix, b.matrix),
    right: add(a.right, b.right),
    targetSquares: a.targetSquares + b.targetSquares,
    coordinates: a.coordinates + b.coordinates,
  };
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  const sum = new Float64Array(a.length);
  for (let at = 0; at < a.length; at++) sum[at] = a[at] + b[at];
  return sum;
}

function addTo(a: Float64Array, b: Float64Array): Float64Array {
  for (let at = 0; at < a.length; at++) a[at] += b[at];
  return a;
}
