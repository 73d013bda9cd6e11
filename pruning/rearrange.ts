// Rearrangement: which variables of a layer are pruned, their number being fixed, once the cross terms of the Fisher
// information count. Kwon et al. 2022, section 4.2. Scores are float64; a step that cannot change anything is
// recognised by Cauchy–Schwarz, |F_ij| <= √(F_ii·F_jj), without a dot product.
import { EspalierError } from '../shared/errors.ts';
import { type FisherInformation, type FisherLayers, layersOfFisher, packedLength } from './fisher.ts';
import type { Masks } from './masks.ts';
import { descending } from './search.ts';

/** Norms are inflated by this share before they bound an inner product, which is rounded itself. */
const NORM_MARGIN = 1 + 1e-9;

/** Where the entries of one layer's F come from. */
interface FisherBlock {
  readonly size: number;
  /** F_ii. */
  readonly diagonal: Float64Array;
  /** F_ij. */
  entry(i: number, j: number): number;
  /** Adds F_i,added − F_i,removed to u_i for each of `variables`. */
  update(u: Float64Array, variables: Int32Array, added: number, removed: number): void;
  /** F·1_P for every variable. */
  sums(members: Int32Array): Float64Array;
}

/** Rearranges every layer's heads and neurons; the number kept in each layer stays. Scales are reset to 1.
 * @throws EspalierError "shape_mismatch" when the Fisher information has other sizes than the masks. */
export function rearrangeMasks(fisher: FisherInformation, masks: Masks): Masks {
  return rearrangeLayers(layersOfFisher(fisher, masks), masks);
}

/** The same, asking for one sub-layer at a time. */
export function rearrangeLayers(fisher: FisherLayers, masks: Masks): Masks {
  const { layers, heads, neurons } = masks;
  const layerMask = (layer: number, kind: 'attention' | 'ffn'): Uint8Array => {
    const size = kind === 'attention' ? heads : neurons;
    const before = kind === 'attention' ? masks.headMask : masks.neuronMask;
    const kept = before.subarray(layer * size, (layer + 1) * size).reduce((sum, bit) => sum + bit, 0);
    const found = fisher.of(layer, kind);
    if (found.form === 'gram') return rearrangeGram(found.gram, size, size - kept);
    return rearrangeRows(found.gradients, size, found.rows, size - kept);
  };
  const headMask = new Uint8Array(layers * heads);
  const neuronMask = new Uint8Array(layers * neurons);
  for (let layer = 0; layer < layers; layer++) {
    headMask.set(layerMask(layer, 'attention'), layer * heads);
    neuronMask.set(layerMask(layer, 'ffn'), layer * neurons);
  }
  return {
    layers,
    heads,
    neurons,
    headMask,
    neuronMask,
    headScales: new Float32Array(layers * heads).fill(1),
    neuronScales: new Float32Array(layers * neurons).fill(1),
  };
}

/** The kept variables of one layer from its gradients.
 * @param gradients float64 [variables, rows], as `layerGradients` gives them.
 * @param pruned number of variables to prune, 0 … variables.
 * @returns mask [variables], 1 kept, 0 pruned. */
export function rearrangeRows(gradients: Float64Array, variables: number, rows: number, pruned: number): Uint8Array {
  if (gradients.length !== variables * rows)
    throw new EspalierError('shape_mismatch', `gradients: got ${gradients.length}, expected [${variables},${rows}]`);
  return rearrange(blockOfRows(gradients, variables, rows), pruned);
}

/** The kept variables of one layer from its packed F = GᵀG (upper triangle by rows, n(n+1)/2). See `rearrangeRows`. */
export function rearrangeGram(gram: Float64Array, variables: number, pruned: number): Uint8Array {
  if (gram?.length !== packedLength(variables))
    throw new EspalierError(
      'shape_mismatch',
      `gram: got ${gram?.length} elements, expected ${packedLength(variables)} for ${variables} variables`,
    );
  return rearrange(blockOfGram(gram, variables), pruned);
}

/** Start with P = the least important. For each other variable j by rising importance: add j to P, then take out the
 * member (j too may go) whose removal leaves the smallest |Σ_{i∈P} G[:,i]|². Removing i changes it by F_ii − 2u_i, with
 * u = F·1_P; among equal scores the lowest index goes. What has left P does not come back. */
function rearrange(block: FisherBlock, pruned: number): Uint8Array {
  const { size, diagonal } = block;
  if (!(Number.isInteger(pruned) && pruned >= 0 && pruned <= size))
    throw new EspalierError('internal', `pruned: got ${pruned}, expected a count from 0 to ${size}`);
  const mask = new Uint8Array(size).fill(1);
  if (pruned === 0) return mask;
  const ascending = descending(diagonal).reverse();
  const members = ascending.slice(0, pruned);
  const u = block.sums(members); // [size], kept up to date for the members and for those whose turn is still to come
  const norms = diagonal.map((value) => Math.sqrt(value) * NORM_MARGIN);
  // Of each member, in the order of `members`: F_ii − 2u_i and √F_ii.
  const base = new Float64Array(pruned);
  const memberNorms = new Float64Array(pruned);
  const refresh = () => {
    for (let place = 0; place < pruned; place++) {
      const i = members[place];
      base[place] = diagonal[i] - 2 * u[i];
      memberNorms[place] = norms[i];
    }
  };
  refresh();
  for (let turn = pruned; turn < size; turn++) {
    const candidate = ascending[turn];
    let bestPlace = -1;
    let bestIndex = candidate;
    let best = diagonal[candidate] - 2 * u[candidate] - 2 * diagonal[candidate];
    const twiceNorm = 2 * norms[candidate];
    for (let place = 0; place < pruned; place++) {
      if (base[place] - twiceNorm * memberNorms[place] > best) continue;
      const score = base[place] - 2 * block.entry(members[place], candidate);
      if (score < best || (score === best && members[place] < bestIndex)) {
        best = score;
        bestPlace = place;
        bestIndex = members[place];
      }
    }
    if (bestPlace < 0) continue;
    members[bestPlace] = candidate;
    block.update(u, members, candidate, bestIndex);
    block.update(u, ascending.subarray(turn + 1), candidate, bestIndex);
    refresh();
  }
  for (const member of members) mask[member] = 0;
  return mask;
}

function blockOfGram(gram: Float64Array, size: number): FisherBlock {
  // Offset of F_ij from its row's start: row i of the packed triangle starts at i·size − i(i−1)/2, column i first.
  const rowStart = Int32Array.from({ length: size }, (_, i) => i * size - (i * (i - 1)) / 2 - i);
  const entry = (i: number, j: number) => (i <= j ? gram[rowStart[i] + j] : gram[rowStart[j] + i]);
  return {
    size,
    diagonal: Float64Array.from({ length: size }, (_, i) => entry(i, i)),
    entry,
    update: (u, variables, added, removed) => {
      for (const i of variables) u[i] += entry(i, added) - entry(i, removed);
    },
    sums: (members) => {
      const u = new Float64Array(size);
      for (let i = 0; i < size; i++) for (const member of members) u[i] += entry(i, member);
      return u;
    },
  };
}

function blockOfRows(gradients: Float64Array, size: number, rows: number): FisherBlock {
  const entry = (i: number, j: number) => dot(gradients, i * rows, gradients, j * rows, rows);
  const change = new Float64Array(rows);
  return {
    size,
    diagonal: Float64Array.from({ length: size }, (_, i) => entry(i, i)),
    entry,
    update: (u, variables, added, removed) => {
      for (let row = 0; row < rows; row++)
        change[row] = gradients[added * rows + row] - gradients[removed * rows + row];
      for (const i of variables) u[i] += dot(gradients, i * rows, change, 0, rows);
    },
    sums: (members) => {
      const sum = new Float64Array(rows);
      for (const member of members) for (let row = 0; row < rows; row++) sum[row] += gradients[member * rows + row];
      return Float64Array.from({ length: size }, (_, i) => dot(gradients, i * rows, sum, 0, rows));
    },
  };
}

/** Inner product in four interleaved partial sums. */
function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number {
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    sum0 += a[aStart + at] * b[bStart + at];
    sum1 += a[aStart + at + 1] * b[bStart + at + 1];
    sum2 += a[aStart + at + 2] * b[bStart + at + 2];
    sum3 += a[aStart + at + 3] * b[bStart + at + 3];
  }
  for (; at < length; at++) sum0 += a[aStart + at] * b[bStart + at];
  return sum0 + sum1 + (sum2 + sum3);
}
