// Forward and backward passes over the micro-batches of a shard: what the tasks "fisher" and "gradients" have in common.
// Everything stays on the device until the task's end: to fetch anything before would leave a GPU idle meanwhile.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type MicroBatch, type Plan, paddedRows, type Shard } from '../../dataset/plan.ts';
import type { DeviceTensor, Precision } from '../engine/engine.ts';
import { type PackedPart, type PackedUpload, type SentUpload, unpack } from '../engine/packed-upload.ts';
import { type GradientTerms, layerBackward, spreadFirst } from '../model/backward.ts';
import { type BatchForm, type DeviceBatch, type PackedBatch, packBatch, unpackBatch } from '../model/device-batch.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import { type LayerPass, lastQueries } from '../model/forward.ts';
import { headBackward, headForward } from '../model/head.ts';
import { batchLosses, packTargets } from '../model/losses.ts';
import { positionsOf } from '../tuning/stretch.ts';
import type { TaskContext } from './task-context.ts';

/** Of the products of forward and backward pass. TF32 rounds their inputs to 10 bits, which moves neither
 * masks nor quality by more than another seed does (docs/performance.md); losses and sums of gradients are
 * float64 in any case. */
export const GRADIENT_PRECISION: Precision = 'tf32';

/** How a pass has its rows with products as they are now. */
export function batchForm(
  { forward }: Pick<TaskContext, 'forward'>,
  { headSize }: Pick<ModelConfig, 'headSize'>,
): BatchForm {
  return forward.kernels.attendsUnpadded(headSize) ? 'unpadded' : 'padded';
}

function gradientForm(
  context: Pick<TaskContext, 'engine' | 'forward'>,
  config: Pick<ModelConfig, 'headSize'>,
): BatchForm {
  return context.engine.withPrecision(GRADIENT_PRECISION, () => batchForm(context, config));
}

/** How many rows gradients of a micro-batch have. */
export function rowsOf(
  context: Pick<TaskContext, 'engine' | 'forward'>,
  config: Pick<ModelConfig, 'headSize'>,
  plan: Plan,
): (batch: MicroBatch) => number {
  return gradientForm(context, config) === 'unpadded' ? (batch) => positionsOf(plan, batch) : paddedRows;
}

/** A micro-batch with its targets in an upload. */
export interface LabelledBatch {
  readonly batch: PackedBatch;
  readonly targets: PackedPart;
}

/** Packs the micro-batches of a shard with their targets.
 * @throws EspalierError "protocol" for samples or targets that do not fit the model. */
export function packShard(
  context: TaskContext,
  upload: PackedUpload,
  { config }: EncoderWeights,
  { samples }: Plan,
  { batches }: Shard,
): LabelledBatch[] {
  const form = gradientForm(context, config);
  return batches.map((batch) => ({
    batch: packBatch(upload, samples, batch, config, form),
    targets: packTargets(upload, samples, batch, config),
  }));
}

/** What one task makes of the gradients of each micro-batch. */
export interface PassOptions {
  /** What is added up over the micro-batches: float64, of one shape for all of them.
   * @param gradients float32 [b, variables], the heads of all layers first. @param index of the micro-batch. */
  summand(gradients: DeviceTensor, index: number): DeviceTensor;
  /** Make `squaredLengths`. */
  readonly wantsLengths: boolean;
}

export interface ShardPass {
  /** The sum of all summands. */
  readonly sum: DeviceTensor;
  /** float64 [b] of each micro-batch. */
  readonly losses: readonly DeviceTensor[];
  /** Of each micro-batch float32 [2·layers, rows]: |∂loss/∂output|² of every sub-layer's output before its LayerNorm; empty
   * unless asked for. */
  readonly squaredLengths: readonly DeviceTensor[];
}

/** Goes over the micro-batches of a shard. The tensors belong to the scope that is open.
 * @param sent the upload of `packed`. */
export function shardPass(
  context: TaskContext,
  weights: EncoderWeights,
  sent: SentUpload,
  packed: readonly LabelledBatch[],
  { summand, wantsLengths }: PassOptions,
): ShardPass {
  const { engine, ops } = context;
  const losses: DeviceTensor[] = [];
  const squaredLengths: DeviceTensor[] = [];
  let sum: DeviceTensor | null = null;
  packed.forEach((part, index) => {
    context.checkCancelled();
    const before: DeviceTensor | null = sum;
    const found = engine.scope(() => {
      const batch = unpackBatch(ops, sent, part.batch);
      const targets = unpack(ops, sent, part.targets);
      const { losses, gradients, squaredLengths } = engine.withPrecision(GRADIENT_PRECISION, () =>
        batchPass(context, weights, batch, targets, wantsLengths),
      );
      const own = summand(gradients, index);
      return { losses, squaredLengths, sum: before === null ? own : ops.add(before, own) };
    });
    if (before !== null) engine.dispose(before);
    sum = found.sum;
    losses.push(found.losses);
    if (found.squaredLengths !== null) squaredLengths.push(found.squaredLengths);
  });
  return { sum: sum!, losses, squaredLengths };
}

/** What each sample lost, in the plan's order. @param inBatchOrder of the shards' micro-batches, one after the other. */
export function sampleLosses(shards: readonly Shard[], inBatchOrder: ArrayLike<number>): Float32Array {
  const { firstSample } = shards[0];
  const losses = new Float32Array(inBatchOrder.length);
  const members = shards.flatMap(({ batches }) => batches.flatMap((batch) => [...batch.members]));
  members.forEach((member, i) => {
    losses[member - firstSample] = inBatchOrder[i];
  });
  return losses;
}

interface BatchPass {
  /** float64 [b] */
  readonly losses: DeviceTensor;
  /** float32 [b, variables]: the heads of all layers, then the neurons. */
  readonly gradients: DeviceTensor;
  /** float32 [2·layers, rows]; null unless asked for. */
  readonly squaredLengths: DeviceTensor | null;
}

function batchPass(
  context: TaskContext,
  weights: EncoderWeights,
  batch: DeviceBatch,
  targets: DeviceTensor,
  wantsLengths: boolean,
): BatchPass {
  const { engine, ops, forward } = context;
  const last = weights.layers.length - 1;
  return engine.scope(() => {
    let x = engine.scope(() => forward.embed(weights, batch));
    const passes: LayerPass[] = [];
    for (let l = 0; l <= last; l++) {
      context.checkCancelled();
      const input = x;
      const done = engine.scope(() =>
        forward.layer(weights, l, input, batch, l === last ? lastQueries(weights) : 'all'),
      );
      engine.dispose(input);
      x = done.x;
      passes.push(done.pass);
    }
    const head = headForward(forward, weights, x);
    const { losses, gradient } = batchLosses(ops, weights.config, head.logits, targets, batch);
    let dx: GradientTerms = { dy: headBackward(forward, weights, head, gradient), dy2: null };

    const heads: DeviceTensor[] = [];
    const neurons: DeviceTensor[] = [];
    const lengths: DeviceTensor[] = [];
    for (let l = last; l >= 0; l--) {
      context.checkCancelled();
      const incoming = dx;
      const found = engine.scope(() => layerBackward(forward, weights, l, passes[l], incoming, batch, wantsLengths));
      for (const term of [incoming.dy, incoming.dy2]) if (term !== null) engine.dispose(term);
      for (const tensor of passTensors(passes[l])) engine.dispose(tensor);
      if (found.heads !== null) heads.unshift(found.heads);
      if (found.neurons !== null) neurons.unshift(found.neurons);
      if (found.input !== null) dx = found.input;
      if (found.squaredLengths !== null) lengths.unshift(...found.squaredLengths);
    }
    const all = [...heads, ...neurons];
    // A model of which nothing is left has rows without columns.
    const none = () => engine.upload(new Float32Array(0), [batch.samples, 0]);
    return {
      losses,
      gradients: all.length === 0 ? none() : ops.concat(all, 1),
      squaredLengths: wantsLengths ? stacked(context, lengths, batch) : null,
    };
  });
}

// [rows, 1] of each sub-layer, those of the last layer perhaps [b, 1] of first tokens alone, as [2·layers, rows].
function stacked({ ops }: TaskContext, lengths: readonly DeviceTensor[], batch: DeviceBatch): DeviceTensor {
  const { rows } = batch;
  const all = lengths.map((own) => (own.shape[0] === rows ? own : spreadFirst(ops, own, batch)));
  return ops.reshape(ops.concat(all, 0), [lengths.length, rows]);
}

function passTensors(pass: LayerPass): DeviceTensor[] {
  const groups = [pass.attention, pass.attentionNorm, pass.ffn, pass.ffnNorm];
  return groups.flatMap((group) => (group === null ? [] : Object.values(group).filter((tensor) => tensor !== null)));
}
