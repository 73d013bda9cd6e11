// Refitted projections on the device, in place of those that masks leave of the dense model.
import type { SubLayerPlace } from '../../pruning/sub-layers.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import type { EncoderWeights, LayerWeights, Linear } from './encoder-weights.ts';

/** Projections of one sub-layer, as LayerWeights has them. */
export type PatchedProjection = SubLayerPlace &
  (
    | {
        readonly part: 'output';
        /** [features, D], of an FFN as wide as LayerWeights has it; null where the masks keep nothing. */
        readonly kernel: DeviceTensor | null;
        /** [D] */
        readonly bias: DeviceTensor;
      }
    | {
        readonly part: 'input';
        /** null where the masks keep nothing. */
        readonly linear: Linear | null;
      }
  );

/** The same model with these projections. Everything is shared: with `weights`, and with whoever owns the projections. */
export function withProjections(weights: EncoderWeights, projections: readonly PatchedProjection[]): EncoderWeights {
  const layers = [...weights.layers];
  for (const projection of projections) {
    const { layer } = projection;
    layers[layer] = { ...layers[layer], ...changedWeights(projection) };
  }
  return { ...weights, layers };
}

function changedWeights(projection: PatchedProjection): Partial<LayerWeights> {
  const isFfn = projection.subLayer === 'ffn';
  if (projection.part === 'input') return isFfn ? { ffnIn: projection.linear } : { attentionIn: projection.linear };
  const { kernel, bias } = projection;
  return isFfn ? { ffnOut: kernel, ffnBias: bias } : { attentionOutput: kernel, attentionBias: bias };
}

export function disposeProjection(engine: Engine, projection: PatchedProjection): void {
  const { kernel, bias } = projection.part === 'input' ? (projection.linear ?? NOTHING) : projection;
  for (const tensor of [kernel, bias]) if (tensor !== null) engine.dispose(tensor);
}

const NOTHING = { kernel: null, bias: null };
