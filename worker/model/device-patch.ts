// A patch on the device as a step has fitted it, and what masks leave of it in a student: cut there, so that a patch goes up once,
// however many students have it.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Masks } from '../../pruning/masks.ts';
import { type Patch, type PatchPlace, rowsUnder } from '../../pruning/patch.ts';
import { keptScales } from '../../pruning/sub-layers.ts';
import { alignedColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { Ops } from '../engine/ops.ts';
import { type PackedPart, PackedUpload, type SentUpload, unpack } from '../engine/packed-upload.ts';
import { inputFactors, type Linear } from './encoder-weights.ts';
import type { PatchedProjection } from './patched-weights.ts';

/** As Patch, in the checkpoint's units. */
export interface DevicePatch extends PatchPlace {
  readonly kept: Int32Array;
  /** float32 [rows, D] */
  readonly weight: DeviceTensor;
  /** float32, as many numbers in whatever shape: D, of input projections as many as rows. */
  readonly bias: DeviceTensor;
}

type Constants = Pick<ModelConfig, 'activation' | 'headSize'>;

/** The tensors belong to the scope that is open. */
export function uploadPatch(
  engine: Engine,
  patch: Patch,
  { hiddenSize }: Pick<ModelConfig, 'hiddenSize'>,
): DevicePatch {
  const { kept, weight, bias } = patch;
  return {
    ...patch,
    // A copy: it may be a view of a whole file.
    kept: kept.slice(),
    weight: engine.upload(weight, [weight.length / hiddenSize, hiddenSize]),
    bias: engine.upload(bias, [bias.length]),
  };
}

/** The same patch under names of its own (memory is shared until one of them is released). */
export function copyPatch(ops: Ops, patch: DevicePatch): DevicePatch {
  return { ...patch, weight: ops.copy(patch.weight), bias: ops.copy(patch.bias) };
}

export function disposePatch(engine: Engine, { weight, bias }: DevicePatch): void {
  for (const tensor of [weight, bias]) engine.dispose(tensor);
}

/** What is cut out of a patch. */
interface Cut {
  readonly patch: DevicePatch;
  /** How many rows. */
  readonly count: number;
  /** Which; null: all. */
  readonly rows: PackedPart | null;
  /** What they are multiplied by, [rows, 1]; null: 1. */
  readonly scales: PackedPart | null;
}

/** What masks keep of patches, as LayerWeights has it: of output projections times their scales. New tensors of the scope that is open.
 * @throws EspalierError "protocol" where the masks keep a variable that a patch lacks. */
export function cutPatches(
  ops: Ops,
  config: Constants,
  patches: readonly DevicePatch[],
  masks: Masks,
): PatchedProjection[] {
  const { engine } = ops;
  return engine.scope(() => {
    const upload = new PackedUpload();
    const cuts = patches.map((patch) => packCut(upload, config, patch, masks));
    const sent = upload.send(ops);
    return cuts.map((cut): PatchedProjection => {
      const { layer, subLayer, part } = cut.patch;
      return engine.scope(() =>
        part === 'input'
          ? { layer, subLayer, part, linear: cutInput(ops, config, cut, sent) }
          : { layer, subLayer, part, ...cutOutput(ops, config, cut, sent) },
      );
    });
  });
}

function packCut(upload: PackedUpload, { headSize }: Constants, patch: DevicePatch, masks: Masks): Cut {
  const { subLayer, part, weight } = patch;
  const size = subLayer === 'ffn' ? 1 : headSize;
  const rows = rowsUnder(patch, size, masks);
  const scales = part === 'output' ? keptScales(masks, patch, size) : new Float32Array(0);
  return {
    patch,
    count: rows.length,
    rows: rows.length === 0 || rows.length === weight.shape[0] ? null : upload.add(rows, [rows.length]),
    scales: scales.every((scale) => scale === 1) ? null : upload.add(scales, [scales.length, 1]),
  };
}

// Numbers are rounded to float32 after each factor: the bits of a checkpoint that is loaded and then scaled.

function cutOutput(
  ops: Ops,
  { activation }: Constants,
  { patch, count, rows, scales }: Cut,
  sent: SentUpload,
): { kernel: DeviceTensor | null; bias: DeviceTensor } {
  const bias = ops.reshape(patch.bias, [patch.weight.shape[1]]);
  if (count === 0) return { kernel: null, bias };
  const constant = patch.subLayer === 'ffn' ? ACTIVATION_SCALES[activation].output : 1;
  const taken = times(ops, takenRows(ops, patch.weight, rows, sent), constant);
  const scaled = scales === null ? taken : ops.mul(taken, unpack(ops, sent, scales));
  const kernel = filled(ops, patch, scaled);
  return { kernel: kernel === patch.weight ? ops.copy(kernel) : kernel, bias };
}

function cutInput(ops: Ops, config: Constants, { patch, count, rows }: Cut, sent: SentUpload): Linear | null {
  if (count === 0) return null;
  const factors = inputFactors(config, patch.subLayer);
  const biases = ops.reshape(patch.bias, [patch.weight.shape[0]]);
  const [weight, bias] = [patch.weight, biases].map((stored) =>
    filled(ops, patch, timesEach(ops, takenRows(ops, stored, rows, sent), factors)),
  );
  return { kernel: ops.transpose(weight, [1, 0]), bias };
}

function takenRows(ops: Ops, stored: DeviceTensor, rows: PackedPart | null, sent: SentUpload): DeviceTensor {
  return rows === null ? stored : ops.gather(stored, unpack(ops, sent, rows));
}

/** Projections that lie one after the other, as many rows each, by a factor of each. */
function timesEach(ops: Ops, stored: DeviceTensor, factors: readonly number[]): DeviceTensor {
  if (factors.every((factor) => factor === 1)) return stored;
  const sizes = factors.map(() => stored.shape[0] / factors.length);
  const parts = ops.split(stored, sizes, 0).map((part, i) => times(ops, part, factors[i]));
  return ops.concat(parts, 0);
}

/** Rounded once, as the host does it. */
function times(ops: Ops, x: DeviceTensor, factor: number): DeviceTensor {
  if (factor === 1) return x;
  const { engine } = ops;
  if (Math.fround(factor) === factor) return ops.mul(x, engine.scalar(factor));
  return engine.scope(() => ops.toFloat32(ops.mul(ops.toFloat64(x), engine.scalar64(factor))));
}

/** With rows of 0 at the end where those of an FFN are filled up. */
function filled(ops: Ops, { subLayer }: DevicePatch, rows: DeviceTensor): DeviceTensor {
  const [count] = rows.shape;
  const fill = subLayer === 'ffn' ? alignedColumns(ops.engine, count) - count : 0;
  return fill === 0 ? rows : ops.pad(rows, [[0, fill], ...rows.shape.slice(1).map(() => [0, 0] as const)]);
}
