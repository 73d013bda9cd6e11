// Refitted projections on the device, in place of those that masks leave of the dense model.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Masks, SubLayer } from '../../pruning/masks.ts';
import { keptRowScales, keptRows, type Patch } from '../../pruning/patch.ts';
import { alignedColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { Ops } from '../engine/ops.ts';
import { type EncoderWeights, inputFactors, type LayerWeights, type Linear } from './encoder-weights.ts';

/** Projections of one sub-layer, as LayerWeights has them. */
export type PatchedProjection = Pick<Patch, 'layer' | 'subLayer'> &
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

/** Uploads what masks keep of a patch: of an output projection times their scales. The tensors belong to the scope that is open.
 * @throws EspalierError "protocol" where the masks keep a variable that the patch lacks. */
export function uploadPatch(
  ops: Ops,
  config: Pick<ModelConfig, 'activation' | 'headSize'>,
  patch: Patch,
  masks: Masks,
): PatchedProjection {
  const { layer, subLayer, part } = patch;
  return part === 'input'
    ? { layer, subLayer, part, linear: uploadInput(ops, config, patch, masks) }
    : { layer, subLayer, part, ...uploadOutput(ops, config, patch, masks) };
}

// Numbers are rounded to float32 after each factor: the bits of a checkpoint that is loaded and then scaled.

function uploadOutput(
  { engine }: Ops,
  config: Pick<ModelConfig, 'activation'>,
  patch: Patch,
  masks: Masks,
): { kernel: DeviceTensor | null; bias: DeviceTensor } {
  const { subLayer, weight, bias } = patch;
  const rows = keptRows(patch, masks);
  const width = bias.length;
  const constant = subLayer === 'ffn' ? ACTIVATION_SCALES[config.activation].output : 1;
  const scales = keptRowScales(patch, masks);
  const count = rowsOnDevice(engine, subLayer, rows.length);
  const kernel = new Float32Array(count * width);
  rows.forEach((row, i) => {
    kernel.set(weight.subarray(row * width, (row + 1) * width), i * width);
    for (const factor of [constant, scales[i]])
      if (factor !== 1) for (let at = i * width; at < (i + 1) * width; at++) kernel[at] *= factor;
  });
  return {
    kernel: rows.length === 0 ? null : engine.upload(kernel, [count, width]),
    bias: engine.upload(bias.slice(), [width]),
  };
}

function uploadInput(
  ops: Ops,
  config: Pick<ModelConfig, 'activation' | 'headSize'>,
  patch: Patch,
  masks: Masks,
): Linear | null {
  const { engine } = ops;
  const { subLayer, weight, bias } = patch;
  const rows = keptRows(patch, masks);
  if (rows.length === 0) return null;
  const width = weight.length / bias.length;
  const factors = inputFactors(config, subLayer);
  const count = rowsOnDevice(engine, subLayer, rows.length);
  const stored = new Float32Array(count * width);
  const own = new Float32Array(count);
  rows.forEach((row, i) => {
    const factor = factors[Math.floor((i * factors.length) / rows.length)];
    stored.set(weight.subarray(row * width, (row + 1) * width), i * width);
    if (factor !== 1) for (let at = i * width; at < (i + 1) * width; at++) stored[at] *= factor;
    own[i] = bias[row] * factor;
  });
  return engine.scope(() => ({
    kernel: ops.transpose(engine.upload(stored, [count, width]), [1, 0]),
    bias: engine.upload(own, [count]),
  }));
}

/** Rows of a projection's matrix, those beyond the kept ones 0. */
function rowsOnDevice(engine: Engine, subLayer: SubLayer, kept: number): number {
  return subLayer === 'ffn' ? alignedColumns(engine, kept) : kept;
}

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
