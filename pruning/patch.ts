// The output projection of one sub-layer as it was refitted: what a gradual step changes in a student.
import { EspalierError } from '../shared/errors.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import { keptIndices, type Masks, type SubLayer } from './masks.ts';

export interface Patch {
  readonly layer: number;
  readonly subLayer: SubLayer;
  /** Heads or neurons of the dense layer that were kept when it was fitted, ascending. */
  readonly kept: Int32Array;
  /** float32 [kept · size, D]: head size rows of a head, one of a neuron. */
  readonly weight: Float32Array;
  /** float32 [D] */
  readonly bias: Float32Array;
}

/** The tensors of a patch's blob (worker.proto). The data is shared, not copied. */
export function patchToTensors({ kept, weight, bias }: Omit<Patch, 'layer' | 'subLayer'>): NamedTensor[] {
  return [
    { name: 'kept', dtype: 'I32', shape: [kept.length], data: kept },
    { name: 'weight', dtype: 'F32', shape: [weight.length / bias.length, bias.length], data: weight },
    { name: 'bias', dtype: 'F32', shape: [bias.length], data: bias },
  ];
}

/** The inverse of `patchToTensors`. @param sizes of the model's sub-layer: what `kept` counts, rows of each, and D.
 * @throws EspalierError "protocol" for tensors of another form, "not_finite". */
export function patchFromTensors(
  tensors: ReadonlyMap<string, NamedTensor>,
  at: { readonly layer: number; readonly subLayer: SubLayer },
  sizes: { readonly variables: number; readonly size: number; readonly hiddenSize: number },
): Patch {
  const kept = tensors.get('kept')?.data;
  const weight = tensors.get('weight')?.data;
  const bias = tensors.get('bias')?.data;
  const isForm =
    kept instanceof Int32Array &&
    weight instanceof Float32Array &&
    bias instanceof Float32Array &&
    bias.length === sizes.hiddenSize &&
    weight.length === kept.length * sizes.size * sizes.hiddenSize &&
    kept.every((index, i) => index > (i === 0 ? -1 : kept[i - 1]) && index < sizes.variables);
  const name = `patch of layer ${at.layer} ${at.subLayer}`;
  if (!isForm)
    throw new EspalierError(
      'protocol',
      `${name}: got tensors of another form, expected kept, weight [kept * ${sizes.size}, ${sizes.hiddenSize}] and bias`,
    );
  // A plain loop: findIndex takes seconds for a large model.
  for (const values of [weight, bias])
    for (let i = 0; i < values.length; i++)
      if (!Number.isFinite(values[i]))
        throw new EspalierError('not_finite', `${name}: got ${values[i]} at index ${i}, expected a finite number`);
  return { ...at, kept, weight, bias };
}

/** Rows of a patch's weight that masks keep: [their variables · size].
 * @throws EspalierError "protocol" where the masks keep a variable that the patch lacks. */
export function keptRows({ layer, subLayer, kept, weight, bias }: Patch, masks: Masks): Int32Array {
  const ffn = subLayer === 'ffn';
  const wanted = keptIndices(ffn ? masks.neuronMask : masks.headMask, layer, ffn ? masks.neurons : masks.heads);
  const size = kept.length === 0 ? 0 : weight.length / bias.length / kept.length;
  const places = new Map(Array.from(kept, (index, place) => [index, place]));
  const rows = new Int32Array(wanted.length * size);
  wanted.forEach((index, i) => {
    const place = places.get(index);
    if (place === undefined)
      throw new EspalierError(
        'protocol',
        `patch of layer ${layer} ${subLayer}: got masks that keep ${index}, expected one of the ${kept.length} that it was fitted for`,
      );
    for (let row = 0; row < size; row++) rows[i * size + row] = place * size + row;
  });
  return rows;
}
