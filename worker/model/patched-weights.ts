// Refitted output projections on the device, in place of those that masks leave of the dense model.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Masks } from '../../pruning/masks.ts';
import { keptRowScales, keptRows, type Patch } from '../../pruning/patch.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { Ops } from '../engine/ops.ts';
import type { EncoderWeights, LayerWeights } from './encoder-weights.ts';

/** The output projection of one sub-layer, as LayerWeights has it. */
export interface PatchedProjection extends Pick<Patch, 'layer' | 'subLayer'> {
  /** [features, D]; null where the masks keep nothing. */
  readonly kernel: DeviceTensor | null;
  /** [D] */
  readonly bias: DeviceTensor;
}

/** Uploads what masks keep of a patch, times their scales. The tensors belong to the scope that is open.
 * @throws EspalierError "protocol" where the masks keep a variable that the patch lacks. */
export function uploadPatch(
  { engine }: Ops,
  config: Pick<ModelConfig, 'activation'>,
  patch: Patch,
  masks: Masks,
): PatchedProjection {
  const { layer, subLayer, weight, bias } = patch;
  const rows = keptRows(patch, masks);
  const width = bias.length;
  const constant = subLayer === 'ffn' ? ACTIVATION_SCALES[config.activation].output : 1;
  const scales = keptRowScales(patch, masks);
  const kernel = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    kernel.set(weight.subarray(row * width, (row + 1) * width), i * width);
    // Each rounded to float32 by itself: the bits of a checkpoint that is loaded and then scaled.
    for (const factor of [constant, scales[i]])
      if (factor !== 1) for (let at = i * width; at < (i + 1) * width; at++) kernel[at] *= factor;
  });
  return {
    layer,
    subLayer,
    kernel: rows.length === 0 ? null : engine.upload(kernel, [rows.length, width]),
    bias: engine.upload(bias.slice(), [width]),
  };
}

/** The same model with these output projections. Everything is shared: with `weights`, and with whoever owns the projections. */
export function withProjections(weights: EncoderWeights, projections: readonly PatchedProjection[]): EncoderWeights {
  const layers = [...weights.layers];
  for (const { layer, subLayer, kernel, bias } of projections) {
    const changed: Partial<LayerWeights> =
      subLayer === 'ffn' ? { ffnOut: kernel, ffnBias: bias } : { attentionOutput: kernel, attentionBias: bias };
    layers[layer] = { ...layers[layer], ...changed };
  }
  return { ...weights, layers };
}

export function disposeProjection(engine: Engine, { kernel, bias }: PatchedProjection): void {
  if (kernel !== null) engine.dispose(kernel);
  engine.dispose(bias);
}
