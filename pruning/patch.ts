// The output projection of one sub-layer as it was refitted: what a gradual step changes in a student.
import { EspalierError } from '../shared/errors.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import type { Masks, SubLayer } from './masks.ts';
import { keptScales, keptVariables, type SubLayerPlace } from './sub-layers.ts';

export interface Patch extends SubLayerPlace {
  /** Heads or neurons of the dense layer that were kept when it was fitted, ascending. */
  readonly kept: Int32Array;
  /** float32 [kept · size, D]: head size rows of a head, one of a neuron. */
  readonly weight: Float32Array;
  /** float32 [D] */
  readonly bias: Float32Array;
}

export interface PatchSizes {
  /** Heads or neurons of the dense layer. */
  readonly variables: number;
  /** Rows of each. */
  readonly size: number;
  /** D */
  readonly hiddenSize: number;
}

/** The tensors of a patch's blob (worker.proto). The data is shared, not copied. */
export function patchToTensors({ kept, weight, bias }: Omit<Patch, 'layer' | 'subLayer'>): NamedTensor[] {
  return [
    { name: 'kept', dtype: 'I32', shape: [kept.length], data: kept },
    { name: 'weight', dtype: 'F32', shape: [weight.length / bias.length, bias.length], data: weight },
    { name: 'bias', dtype: 'F32', shape: [bias.length], data: bias },
  ];
}

/** The inverse of `patchToTensors`. @param sizes of the model's sub-layer.
 * @throws EspalierError "protocol" for tensors of another form, "not_finite". */
export function patchFromTensors(
  tensors: ReadonlyMap<string, NamedTensor>,
  at: SubLayerPlace,
  sizes: PatchSizes,
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

/** What `patchFromTensors` measures a patch of a model's sub-layer by. */
export function patchSizes(
  {
    heads,
    headSize,
    intermediateSize,
    hiddenSize,
  }: Readonly<Record<'heads' | 'headSize' | 'intermediateSize' | 'hiddenSize', number>>,
  subLayer: SubLayer,
): PatchSizes {
  return subLayer === 'ffn'
    ? { variables: intermediateSize, size: 1, hiddenSize }
    : { variables: heads, size: headSize, hiddenSize };
}

/** Rows of a patch's weight that masks keep: [their variables · size].
 * @throws EspalierError "protocol" where the masks keep a variable that the patch lacks. */
export function keptRows(patch: Patch, masks: Masks): Int32Array {
  const { layer, subLayer, kept } = patch;
  const wanted = keptVariables(masks, patch);
  const size = rowsOfOne(patch);
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

/** Scales of those rows. */
export function keptRowScales(patch: Patch, masks: Masks): Float32Array {
  return keptScales(masks, patch, rowsOfOne(patch));
}

/** Rows of one head or neuron; 0 where the patch has none. */
function rowsOfOne({ kept, weight, bias }: Patch): number {
  return kept.length === 0 ? 0 : weight.length / bias.length / kept.length;
}
