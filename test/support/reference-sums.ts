// The sums of a sub-layer's least squares problem, straight from their definition in pruning/normal-equations.ts, by the
// float64 reference encoder.
import { keptIndices, type SubLayer } from '../../pruning/masks.ts';
import type { SubLayerSums } from './plain-system.ts';
import type { EncoderInput, MaskValues, ReferenceEncoder } from './reference-encoder.ts';

/** Where a sub-layer is looked at. */
export interface SubLayerPlace {
  readonly layer: number;
  readonly kind: SubLayer;
}

/** Indices of the kept features: kept heads' context columns, or kept neurons. A mask value of 0 is pruned. */
export function keptFeatures(encoder: ReferenceEncoder, masks: MaskValues, { layer, kind }: SubLayerPlace): number[] {
  const { heads, headSize, intermediateSize } = encoder.config;
  const bits = (values: Float64Array) => Uint8Array.from(values, (value) => (value === 0 ? 0 : 1));
  if (kind === 'ffn') return [...keptIndices(bits(masks.neurons), layer, intermediateSize)];
  const kept = [...keptIndices(bits(masks.heads), layer, heads)];
  return kept.flatMap((head) => Array.from({ length: headSize }, (_, c) => head * headSize + c));
}

/** W [features, D] of the kept features. */
export function outputWeight(encoder: ReferenceEncoder, kept: readonly number[], place: SubLayerPlace): Float64Array {
  const { hiddenSize, heads, headSize, intermediateSize } = encoder.config;
  const width = place.kind === 'ffn' ? intermediateSize : heads * headSize;
  const name = place.kind === 'ffn' ? 'ffn_out' : 'attention_output';
  const stored = encoder.weight(`layers.${place.layer}.${name}.weight`); // [D, width]
  return Float64Array.from({ length: kept.length * hiddenSize }, (_, at) => {
    const feature = kept[Math.floor(at / hiddenSize)];
    return stored[(at % hiddenSize) * width + feature];
  });
}

/** Sums over the counted positions of all inputs: the unpadded ones, or the first of each in a classifier's last FFN.
 * @param teacherFfn which neurons of the teacher make the target of an FFN: "dense", all of this layer's, as the published
 * implementation does (its teacher's masks act everywhere else); or "masked", those that the teacher keeps. */
export function referenceSums(
  encoder: ReferenceEncoder,
  inputs: readonly EncoderInput[],
  teacher: MaskValues,
  student: MaskValues,
  place: SubLayerPlace,
  teacherFfn: 'dense' | 'masked' = 'dense',
): SubLayerSums {
  const { hiddenSize, layers, task, intermediateSize } = encoder.config;
  const byToken = task === 'question-answering' || task === 'token-classification';
  const firstOnly = !byToken && place.kind === 'ffn' && place.layer === layers - 1;
  const kept = keptFeatures(encoder, student, place);
  const n = kept.length;
  const bias = encoder.weight(`layers.${place.layer}.${place.kind === 'ffn' ? 'ffn_out' : 'attention_output'}.bias`);
  const firstNeuron = place.layer * intermediateSize;
  const target =
    place.kind === 'ffn' && teacherFfn === 'dense'
      ? { heads: teacher.heads, neurons: teacher.neurons.slice().fill(1, firstNeuron, firstNeuron + intermediateSize) }
      : teacher;
  const gram = new Float64Array((n * (n + 1)) / 2);
  const cross = new Float64Array(n * hiddenSize);
  const featureSums = new Float64Array(n);
  let targetSum = 0;
  let targetSquares = 0;
  let positions = 0;
  for (const input of inputs) {
    const { output } = encoder.forward(input, target)[place.kind][place.layer];
    const { input: residual, features } = encoder.forward(input, student)[place.kind][place.layer];
    const width = features.length / input.ids.length;
    input.attentionMask.forEach((open, token) => {
      if (open === 0 || (firstOnly && token > 0)) return;
      positions++;
      const x = kept.map((feature) => features[token * width + feature]);
      const r = Float64Array.from(
        bias,
        (b, d) => output[token * hiddenSize + d] - residual[token * hiddenSize + d] - b,
      );
      for (const value of r) {
        targetSum += value;
        targetSquares += value * value;
      }
      let at = 0;
      for (let i = 0; i < n; i++) {
        for (let j = i; j < n; j++) gram[at++] += x[i] * x[j];
        for (let d = 0; d < hiddenSize; d++) cross[i * hiddenSize + d] += x[i] * r[d];
        featureSums[i] += x[i];
      }
    });
  }
  return { features: n, hiddenSize, gram, cross, featureSums, targetSum, targetSquares, positions };
}
