// Takes the pruned heads and neurons out of one weight and folds the scales of the kept ones in. Masked and scaled
// dense weights and these smaller ones compute the same function.
import { keptIndices, type Masks } from '../pruning/masks.ts';
import type { ModelConfig } from './model-config.ts';

const PRUNED = /^layers\.\d+\.(?:(?:query|key|value|ffn_in)\.(?:weight|bias)|(?:attention_output|ffn_out)\.weight)$/;

/** The weight as the pruned model has it. Kept rows of query, key, value and ffn_in are copied; kept columns of
 * attention_output and ffn_out are copied times their scale, each product rounded once to float32; the biases of those
 * two and all other weights stay as they are.
 * @param name canonical name. @param dense float32 of the dense model's shape, not changed.
 * @param take gives memory for so many elements, which are all written; left out: new memory.
 * @returns float32 of the shape that weightSpecs gives for the pruned config; `dense` itself where nothing changes. */
export function pruneWeight(
  name: string,
  dense: Float32Array,
  config: ModelConfig,
  masks: Masks,
  take: (length: number) => Float32Array = (length) => new Float32Array(length),
): Float32Array {
  const match = /^layers\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name);
  if (match === null) return dense;
  const layer = Number(match[1]);
  const part = match[3];
  const { heads, neurons } = masks;
  switch (match[2]) {
    case 'query':
    case 'key':
    case 'value': {
      const kept = keptIndices(masks.headMask, layer, heads);
      // A head's rows lie together: weight [heads * headSize, D], bias [heads * headSize].
      return takeRows(dense, kept, config.headSize * (part === 'weight' ? config.hiddenSize : 1), take);
    }
    case 'ffn_in':
      // weight [neurons, D], bias [neurons]
      return takeRows(
        dense,
        keptIndices(masks.neuronMask, layer, neurons),
        part === 'weight' ? config.hiddenSize : 1,
        take,
      );
    case 'attention_output': {
      if (part === 'bias') return dense;
      const scales = masks.headScales.subarray(layer * heads, (layer + 1) * heads);
      return takeScaledColumns(dense, keptIndices(masks.headMask, layer, heads), scales, config.headSize, take);
    }
    case 'ffn_out': {
      if (part === 'bias') return dense;
      const scales = masks.neuronScales.subarray(layer * neurons, (layer + 1) * neurons);
      return takeScaledColumns(dense, keptIndices(masks.neuronMask, layer, neurons), scales, 1, take);
    }
    default:
      return dense;
  }
}

/** Whether `pruneWeight` gives anything but the dense weight. @param name canonical. */
export function isPrunedWeight(name: string): boolean {
  return PRUNED.test(name);
}

/** Copies groups of `groupSize` consecutive elements. */
function takeRows(
  dense: Float32Array,
  kept: Int32Array,
  groupSize: number,
  take: (length: number) => Float32Array,
): Float32Array {
  const taken = take(kept.length * groupSize);
  kept.forEach((group, i) => {
    taken.set(dense.subarray(group * groupSize, (group + 1) * groupSize), i * groupSize);
  });
  return taken;
}

/** Copies groups of `groupSize` columns of a matrix [D, scales.length * groupSize], times their group's scale. */
function takeScaledColumns(
  dense: Float32Array,
  kept: Int32Array,
  scales: Float32Array,
  groupSize: number,
  take: (length: number) => Float32Array,
): Float32Array {
  const width = scales.length * groupSize;
  const rows = dense.length / width;
  const keptWidth = kept.length * groupSize;
  const columns = Int32Array.from({ length: keptWidth }, (_, k) => {
    return kept[Math.floor(k / groupSize)] * groupSize + (k % groupSize);
  });
  const factors = Float32Array.from(columns, (column) => scales[Math.floor(column / groupSize)]);
  const taken = take(rows * keptWidth);
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * width, row * keptWidth];
    // The float64 product of two float32 is exact, so that storing it rounds once.
    for (let k = 0; k < keptWidth; k++) taken[to + k] = dense[from + columns[k]] * factors[k];
  }
  return taken;
}
