// The least squares problem of one sub-layer as sums over positions, and the small system of its scales made from them, by
// their definition: what the worker makes on its device is compared with it.
//
// X [positions, n] are the student's features (contexts of the kept heads, or activations of the kept neurons), R
// [positions, D] is the teacher's sub-layer output less the student's residual and bias, W [n, D] the student's output
// projection. A block of `blockSize` rows of W belongs to one scale: d for a head, 1 for a neuron. Scale i moves the
// output by o_i = Σ_{f in block i} X[:, f] ⊗ W[f, :]; A has the flattened o_i as columns, so that
//   (AᵀA)_ij = Σ over block (i, j) of (W·Wᵀ) ⊙ (XᵀX),   (Aᵀb)_i = Σ over block i of (XᵀR) ⊙ W.
// Nothing of the size positions · D · scales is ever formed.
import type { ScaleSums } from '../../pruning/normal-equations.ts';
import { timesTranspose } from './plain-linear-algebra.ts';

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

/** a + b, element by element. */
export function addSums(a: SubLayerSums, b: SubLayerSums): SubLayerSums {
  return {
    features: a.features,
    hiddenSize: a.hiddenSize,
    gram: add(a.gram, b.gram),
    cross: add(a.cross, b.cross),
    featureSums: add(a.featureSums, b.featureSums),
    targetSum: a.targetSum + b.targetSum,
    targetSquares: a.targetSquares + b.targetSquares,
    positions: a.positions + b.positions,
  };
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

export function outputProjection(
  weight: Float64Array,
  sizes: { features: number; hiddenSize: number; blockSize: number },
): OutputProjection {
  const { features, hiddenSize, blockSize } = sizes;
  const rowSums = new Float64Array(features);
  for (let f = 0, at = 0; f < features; f++) for (let d = 0; d < hiddenSize; d++, at++) rowSums[f] += weight[at];
  const products = timesTranspose(weight, features, weight, features, hiddenSize);
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
  readonly positions: number;
}

/** Makes the system from the sums. With the offset, A's last column is all ones: one constant for every coordinate, which
 * the LayerNorm that follows removes. */
export function scaleSystem(sums: SubLayerSums, projection: OutputProjection, withOffset: boolean): ScaleSystem {
  const { features, hiddenSize, blockSize, weight, products, rowSums } = projection;
  const scales = features / blockSize;
  const size = scales + (withOffset ? 1 : 0);
  const matrix = new Float64Array(size * size);
  const right = new Float64Array(size);
  for (let f = 0, at = 0; f < features; f++) {
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
    for (let j = 0; j < i; j++) matrix[i * size + j] = matrix[j * size + i];
  }
  const { targetSquares, positions } = sums;
  return { scales, size, matrix, right, targetSquares, coordinates, positions };
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
    positions: a.positions + b.positions,
  };
}

/** The system that sums of a worker make: its panels of rows from the diagonal on are unfolded, whatever their heights are
 * as long as they are even but for the last. @param panel rows of a panel. */
export function systemOfSums(sums: ScaleSums, hiddenSize: number, panel = sums.scales): ScaleSystem {
  const { scales, offset } = sums;
  const withOffset = offset.length > 0;
  const size = scales + (withOffset ? 1 : 0);
  const matrix = new Float64Array(size * size);
  const set = (i: number, j: number, value: number) => {
    matrix[i * size + j] = value;
    matrix[j * size + i] = value;
  };
  let at = 0;
  for (let i = 0; i < scales; i++) {
    const first = Math.floor(i / panel) * panel;
    for (let j = first; j < scales; j++, at++) if (j >= i) set(i, j, sums.matrix[at]);
    if (withOffset) set(i, scales, offset[i]);
  }
  const coordinates = sums.positions * hiddenSize;
  if (withOffset) set(scales, scales, coordinates);
  const right = Float64Array.from(withOffset ? [...sums.right, sums.targetSum] : sums.right);
  const { targetSquares, positions } = sums;
  return { scales, size, matrix, right, targetSquares, coordinates, positions };
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  const sum = new Float64Array(a.length);
  for (let at = 0; at < a.length; at++) sum[at] = a[at] + b[at];
  return sum;
}
