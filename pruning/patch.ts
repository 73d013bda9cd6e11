// Projections of one sub-layer as they were refitted: what a gradual step changes in a student.
import { EspalierError } from '../shared/errors.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import type { Masks, SubLayer } from './masks.ts';
import { keptScales, keptVariables, type SubLayerPlace } from './sub-layers.ts';

/** The output projection of a sub-layer, or its input projections: query, key and value, or the FFN's first. */
export type PatchPart = 'output' | 'input';

export interface PatchPlace extends SubLayerPlace {
  readonly part: PatchPart;
}

export interface Patch extends PatchPlace {
  /** Heads or neurons of the dense layer that were kept when it was fitted, ascending. */
  readonly kept: Int32Array;
  /** float32 [rows, D]: head size rows of a head, one of a neuron. A row of an output projection is what its feature adds to the
   * output; one of an input projection multiplies the input. Of attention's inputs the rows of queries come first, then those
   * of keys, then those of values. */
  readonly weight: Float32Array;
  /** float32, of the output projection [D], of input projections [rows]. */
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

/** Projections that lie one after the other in a patch: three of attention's inputs, else one. */
export function patchBlocks({ subLayer, part }: Pick<Patch, 'subLayer' | 'part'>): number {
  return part === 'input' && subLayer === 'attention' ? 3 : 1;
}

/** What messages call it. */
export function patchName({ layer, subLayer, part }: PatchPlace): string {
  return `patch of layer ${layer} ${subLayer}${part === 'input' ? ' input' : ''}`;
}

/** The tensors of a patch's blob (worker.proto). The data is shared, not copied.
 * @param patch input projections have at least one row. */
export function patchToTensors({ part, kept, weight, bias }: Omit<Patch, 'layer' | 'subLayer'>): NamedTensor[] {
  const other = weight.length / bias.length;
  return [
    { name: 'kept', dtype: 'I32', shape: [kept.length], data: kept },
    {
      ...{ name: 'weight', dtype: 'F32', data: weight },
      shape: part === 'input' ? [bias.length, other] : [other, bias.length],
    },
    { name: 'bias', dtype: 'F32', shape: [bias.length], data: bias },
  ];
}

/** The inverse of `patchToTensors`. @param sizes of the model's sub-layer.
 * @throws EspalierError "protocol" for tensors of another form, "not_finite". */
export function patchFromTensors(tensors: ReadonlyMap<string, NamedTensor>, at: PatchPlace, sizes: PatchSizes): Patch {
  const kept = tensors.get('kept')?.data;
  const weight = tensors.get('weight')?.data;
  const bias = tensors.get('bias')?.data;
  const size = patchBlocks(at) * sizes.size;
  const isForm =
    kept instanceof Int32Array &&
    weight instanceof Float32Array &&
    bias instanceof Float32Array &&
    bias.length === (at.part === 'input' ? kept.length * size : sizes.hiddenSize) &&
    weight.length === kept.length * size * sizes.hiddenSize &&
    kept.every((index, i) => index > (i === 0 ? -1 : kept[i - 1]) && index < sizes.variables);
  const name = patchName(at);
  if (!isForm)
    throw new EspalierError(
      'protocol',
      `${name}: got tensors of another form, expected kept, weight [kept * ${size}, ${sizes.hiddenSize}] and bias`,
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

/** Rows of a patch's weight that masks keep: [their variables · size], of each of its projections.
 * @throws EspalierError "protocol" where the masks keep a variable that the patch lacks. */
export function keptRows(patch: Patch, masks: Masks): Int32Array {
  return rowsUnder(patch, rowsOfOne(patch), masks);
}

/** `keptRows` of a patch whose numbers are elsewhere. @param size rows of one head or neuron in a projection. */
export function rowsUnder(patch: PatchPlace & Pick<Patch, 'kept'>, size: number, masks: Masks): Int32Array {
  const { kept } = patch;
  const wanted = keptVariables(masks, patch);
  const count = wanted.length * size;
  const rows = new Int32Array(patchBlocks(patch) * count);
  // Both ascend.
  let place = 0;
  wanted.forEach((index, i) => {
    while (kept[place] < index) place += 1;
    if (kept[place] !== index)
      throw new EspalierError(
        'protocol',
        `${patchName(patch)}: got masks that keep ${index}, expected one of the ${kept.length} that it was fitted for`,
      );
    for (let row = 0; row < size; row++) rows[i * size + row] = place * size + row;
  });
  // The projections of a patch have their rows in the same order.
  for (let at = count; at < rows.length; at++) rows[at] = rows[at - count] + kept.length * size;
  return rows;
}

/** Scales of the rows of an output projection. */
export function keptRowScales(patch: Patch, masks: Masks): Float32Array {
  return keptScales(masks, patch, rowsOfOne(patch));
}

/** Rows of one head or neuron in a projection; 0 where the patch has none. */
function rowsOfOne(patch: Patch): number {
  const { part, kept, weight, bias } = patch;
  const rows = part === 'input' ? bias.length / patchBlocks(patch) : weight.length / bias.length;
  return kept.length === 0 ? 0 : rows / kept.length;
}
