// What a refit fits as one system: the output projection of a sub-layer, or some of its input projections.
import type { SubLayer } from './masks.ts';
import { patchBlocks } from './patch.ts';
import type { SubLayerPlace } from './sub-layers.ts';

/** The output projection; all input projections of the sub-layer; or, of attention, query alone, or key and value. */
export type RefitPart = 'output' | InputPart;

export type InputPart = 'input' | 'query' | 'key_value';

/** Projections that a part has. */
export function projectionsOf(part: RefitPart, subLayer: SubLayer): number {
  if (part === 'query') return 1;
  return part === 'key_value' ? 2 : patchBlocks({ subLayer, part });
}

/** The input projections of a sub-layer in the parts that are fitted by themselves, in the order of a patch's rows.
 * @param model `readsFirst`: of the last layer first tokens alone are read, by a sequence classifier's head. There only they
 * ask, while all tokens have keys and values: what counts for one does not for the others.
 * @returns none where the input is that of the dense model, the embeddings: nothing is to be made up for. */
export function inputParts(
  { layer, subLayer }: SubLayerPlace,
  model: { readonly layers: number; readonly readsFirst: boolean },
): readonly InputPart[] {
  if (subLayer === 'ffn') return ['input'];
  if (layer === 0) return [];
  return model.readsFirst && layer === model.layers - 1 ? ['query', 'key_value'] : ['input'];
}
