// Gram matrices of rows in plain JavaScript: what the engine's are compared with, and what tests rearrange by.
import {
  type FisherGrams,
  type FisherRows,
  layerGradients,
  type MaskSizes,
  packedLength,
} from '../../pruning/fisher.ts';
import type { SubLayer } from '../../pruning/masks.ts';

/** F = GᵀG of one layer, packed upper triangle by rows, from gradients [variables, rows]; float64. */
export function gramOfGradients(gradients: Float32Array, variables: number, rows: number): Float64Array {
  const gram = new Float64Array(packedLength(variables));
  let at = 0;
  for (let i = 0; i < variables; i++)
    for (let j = i; j < variables; j++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += gradients[i * rows + row] * gradients[j * rows + row];
      gram[at++] = sum;
    }
  return gram;
}

/** The Gram form of complete rows. */
export function gramOfRows(fisher: FisherRows, sizes: MaskSizes): FisherGrams {
  const grams = (kind: SubLayer, variables: number) =>
    Array.from({ length: sizes.layers }, (_, layer) =>
      gramOfGradients(layerGradients(fisher, sizes, layer, kind), variables, fisher.rows),
    );
  return { form: 'gram', headGrams: grams('attention', sizes.heads), neuronGrams: grams('ffn', sizes.neurons) };
}
