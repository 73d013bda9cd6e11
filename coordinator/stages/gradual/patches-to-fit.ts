// Which projections a step fits anew, in which order: of each sub-layer its inputs, where they are fitted at all, then its output
// on the features that these give it.
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { hasHeadDense } from '../../../checkpoint/weight-names.ts';
import type { Masks } from '../../../pruning/masks.ts';
import type { PatchPlace } from '../../../pruning/patch.ts';
import { inputParts, type RefitPart } from '../../../pruning/refit-part.ts';
import { keptSubLayers } from '../../../pruning/sub-layers.ts';
import type { StepSettings } from '../../step-settings.ts';

export interface PatchToFit extends PatchPlace {
  /** Heads or neurons of the dense layer, ascending. */
  readonly kept: Int32Array;
  /** What is fitted by itself of it, in the order of the patch's rows. */
  readonly parts: readonly RefitPart[];
}

/** Of all sub-layers in the order in which they run; where nothing is kept the output alone, whose bias is left. */
export function patchesToFit(masks: Masks, config: ModelConfig, { refit }: Pick<StepSettings, 'refit'>): PatchToFit[] {
  const model = { layers: config.layers, readsFirst: hasHeadDense(config) };
  return keptSubLayers(masks).flatMap(({ layer, subLayer, kept }) => {
    const output: PatchToFit = { layer, subLayer, kept, part: 'output', parts: ['output'] };
    const parts = refit === 'all-weights' && kept.length > 0 ? inputParts({ layer, subLayer }, model) : [];
    return parts.length === 0 ? [output] : [{ layer, subLayer, kept, part: 'input', parts }, output];
  });
}
