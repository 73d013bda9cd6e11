// Puts refitted output projections in the place of a model's own: a patch's rows of the kept heads and neurons, transposed as
// checkpoints store them.
import type { Masks, SubLayer } from '../pruning/masks.ts';
import { keptRowScales, keptRows, type Patch } from '../pruning/patch.ts';
import { EspalierError } from '../shared/errors.ts';
import type { ModelConfig } from './model-config.ts';

const SUB_LAYERS: Readonly<Record<string, SubLayer>> = { attention_output: 'attention', ffn_out: 'ffn' };

/** The patch that this weight is taken from; null: the model's own stays. @param name canonical. */
export function patchOf(name: string, patches: readonly Patch[]): Patch | null {
  const match = /^layers\.(\d+)\.(attention_output|ffn_out)\.(?:weight|bias)$/.exec(name);
  if (match === null) return null;
  const [, layer, projection] = match;
  return patches.find((patch) => patch.layer === Number(layer) && patch.subLayer === SUB_LAYERS[projection]) ?? null;
}

/** An output projection as the pruned model has it.
 * @param name of its weight or bias.
 * @returns float32 [D, kept features], each product with its head's or neuron's scale rounded once; of a bias [D].
 * @throws EspalierError "protocol" where the masks keep what the patch lacks. */
export function patchedWeight(name: string, patch: Patch, masks: Masks): Float32Array {
  if (name.endsWith('.bias')) return patch.bias;
  const rows = keptRows(patch, masks);
  const scales = keptRowScales(patch, masks);
  const { weight, bias } = patch;
  const taken = new Float32Array(bias.length * rows.length);
  // A row of the patch is a column of what is stored.
  for (let column = 0; column < rows.length; column++)
    for (let d = 0; d < bias.length; d++)
      taken[d * rows.length + column] = weight[rows[column] * bias.length + d] * scales[column];
  return taken;
}

/** @throws EspalierError "shape_mismatch" for patches of another model or two of one sub-layer, "protocol" for masks that keep
 * what a patch lacks. */
export function checkPatches(config: ModelConfig, masks: Masks, patches: readonly Patch[]): void {
  const seen = new Set<string>();
  for (const patch of patches) {
    const { layer, subLayer, kept, weight, bias } = patch;
    const name = `patch of layer ${layer} ${subLayer}`;
    if (!(layer >= 0 && layer < config.layers))
      throw new EspalierError('shape_mismatch', `${name}: got layer ${layer}, expected one of ${config.layers}`);
    if (seen.has(name)) throw new EspalierError('shape_mismatch', `${name}: got two, expected one`);
    seen.add(name);
    const features = kept.length * (subLayer === 'ffn' ? 1 : config.headSize);
    const got = [weight.length, bias.length].join();
    const expected = [features * config.hiddenSize, config.hiddenSize].join();
    if (got !== expected)
      throw new EspalierError(
        'shape_mismatch',
        `${name}: got [weight,bias] of [${got}] numbers, expected [${expected}]`,
      );
    keptRows(patch, masks);
  }
}
