// Puts refitted projections in the place of a model's own: a patch's rows of the kept heads and neurons, as checkpoints store
// them, [outputs, inputs].
import type { Masks } from '../pruning/masks.ts';
import { keptRowScales, keptRows, type Patch, type PatchPlace, patchBlocks, patchName } from '../pruning/patch.ts';
import { EspalierError } from '../shared/errors.ts';
import type { ModelConfig } from './model-config.ts';

/** Where a patch has a projection: the number of its block. */
const PLACES: Readonly<Record<string, Omit<PatchPlace, 'layer'> & { readonly block: number }>> = {
  query: { subLayer: 'attention', part: 'input', block: 0 },
  key: { subLayer: 'attention', part: 'input', block: 1 },
  value: { subLayer: 'attention', part: 'input', block: 2 },
  attention_output: { subLayer: 'attention', part: 'output', block: 0 },
  ffn_in: { subLayer: 'ffn', part: 'input', block: 0 },
  ffn_out: { subLayer: 'ffn', part: 'output', block: 0 },
};

/** The patch that this weight is taken from; null: the model's own stays. @param name canonical. */
export function patchOf(name: string, patches: readonly Patch[]): Patch | null {
  const place = placeOf(name);
  if (place === null) return null;
  const isIts = ({ layer, subLayer, part }: Patch) =>
    layer === place.layer && subLayer === place.subLayer && part === place.part;
  return patches.find(isIts) ?? null;
}

function placeOf(name: string) {
  const match = /^layers\.(\d+)\.(\w+)\.(?:weight|bias)$/.exec(name);
  const place = match === null ? undefined : PLACES[match[2]];
  return place === undefined ? null : { ...place, layer: Number(match![1]) };
}

/** A projection as the pruned model has it.
 * @param name of its weight or bias. @param patch that `patchOf` gives for it.
 * @returns float32 [outputs, inputs], or of a bias [outputs]; of an output projection each product with its head's or neuron's
 * scale rounded once.
 * @throws EspalierError "protocol" where the masks keep what the patch lacks. */
export function patchedWeight(name: string, patch: Patch, masks: Masks): Float32Array {
  const isBias = name.endsWith('.bias');
  if (patch.part === 'output') return isBias ? patch.bias : outputColumns(patch, masks);
  const all = keptRows(patch, masks);
  const count = all.length / patchBlocks(patch);
  const { block } = placeOf(name)!;
  const rows = all.subarray(block * count, (block + 1) * count);
  const { weight, bias } = patch;
  if (isBias) return Float32Array.from(rows, (row) => bias[row]);
  const width = weight.length / bias.length;
  const taken = new Float32Array(count * width);
  rows.forEach((row, i) => {
    taken.set(weight.subarray(row * width, (row + 1) * width), i * width);
  });
  return taken;
}

// A row of the patch is a column of what is stored.
function outputColumns(patch: Patch, masks: Masks): Float32Array {
  const rows = keptRows(patch, masks);
  const scales = keptRowScales(patch, masks);
  const { weight, bias } = patch;
  const taken = new Float32Array(bias.length * rows.length);
  for (let column = 0; column < rows.length; column++)
    for (let d = 0; d < bias.length; d++)
      taken[d * rows.length + column] = weight[rows[column] * bias.length + d] * scales[column];
  return taken;
}

/** @throws EspalierError "shape_mismatch" for patches of another model or two of the same projections, "protocol" for masks that
 * keep what a patch lacks. */
export function checkPatches(config: ModelConfig, masks: Masks, patches: readonly Patch[]): void {
  const seen = new Set<string>();
  for (const patch of patches) {
    const { layer, subLayer, part, kept, weight, bias } = patch;
    const name = patchName(patch);
    if (!(layer >= 0 && layer < config.layers))
      throw new EspalierError('shape_mismatch', `${name}: got layer ${layer}, expected one of ${config.layers}`);
    if (seen.has(name)) throw new EspalierError('shape_mismatch', `${name}: got two, expected one`);
    seen.add(name);
    const rows = patchBlocks(patch) * kept.length * (subLayer === 'ffn' ? 1 : config.headSize);
    const got = [weight.length, bias.length].join();
    const expected = [rows * config.hiddenSize, part === 'input' ? rows : config.hiddenSize].join();
    if (got !== expected)
      throw new EspalierError(
        'shape_mismatch',
        `${name}: got [weight,bias] of [${got}] numbers, expected [${expected}]`,
      );
    keptRows(patch, masks);
  }
}
