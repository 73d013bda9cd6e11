// Task "fisher": gradients of the mask variables of some shards, summed by Fisher group (method: docs/method.md, "Importance").
// Everything stays on the device until the task's end: to fetch anything before would leave a GPU idle meanwhile.
import type { Plan, Shard } from '../../dataset/plan.ts';
import { MOST_TASK_GRADIENTS } from '../../pruning/fisher.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor, Precision } from '../engine/engine.ts';
import { type PackedPart, PackedUpload, unpack } from '../engine/packed-upload.ts';
import { layerBackward } from '../model/backward.ts';
import { type DeviceBatch, type PackedBatch, packBatch, unpackBatch } from '../model/device-batch.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import { type LayerPass, lastQueries } from '../model/forward.ts';
import { headBackward, headForward } from '../model/head.ts';
import type { LocalModel } from '../model/local-model.ts';
import { batchLosses, packTargets } from '../model/losses.ts';
import { deviceGrams } from './device-grams.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

/** Of the products of forward and backward pass. TF32 rounds their inputs to 10 bits; losses and sums by group are float64
 * in any case. */
export const FISHER_PRECISION: Precision = 'float32';

export interface FisherInput {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly shards: ShardRange;
  /** Return Grams in place of rows. */
  readonly gram: boolean;
}

/** @returns the tensors that worker.proto names for FisherTask. */
export async function runFisher(context: TaskContext, input: FisherInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const { plan } = input;
  const weights = await context.models.dense(input.model);
  const shards = shardsOf(plan, input.shards);
  const firstSample = shards[0].firstSample;
  const samples = shards[shards.length - 1].endSample - firstSample;
  const groups = Math.ceil(samples / plan.groupSize);
  const variables = weights.layers.reduce((sum, { heads, neurons }) => sum + heads + neurons, 0);
  if (groups * variables > MOST_TASK_GRADIENTS)
    throw new EspalierError(
      'protocol',
      `fisher: got ${groups} rows of ${variables}, expected at most ${MOST_TASK_GRADIENTS} gradients`,
    );
  return engine.scope(() => {
    const found = shards.map((shard) => engine.scope(() => shardGradients(context, weights, plan, shard)));
    const sums = ops.concat(
      found.map(({ sums }) => sums),
      0,
    );
    const rows = ops.toFloat32(ops.div(sums, ops.toFloat64(engine.scalar(plan.groupSize)))); // [groups, variables]
    const inBatchOrder = engine.downloadFloat32(
      ops.toFloat32(
        ops.concat(
          found.flatMap(({ losses }) => losses),
          0,
        ),
      ),
    );
    const losses = new Float32Array(samples);
    const members = shards.flatMap(({ batches }) => batches.flatMap((batch) => [...batch.members]));
    members.forEach((member, i) => {
      losses[member - firstSample] = inBatchOrder[i];
    });
    // Losses come first: where they are not finite, that is what there is to say.
    const lossTensor: NamedTensor = { name: 'losses', dtype: 'F32', shape: [samples], data: losses };
    if (input.gram) return [lossTensor, ...deviceGrams(context, weights.config, rows)];
    return [lossTensor, { name: 'rows', dtype: 'F32', shape: [groups, variables], data: engine.downloadFloat32(rows) }];
  });
}

interface ShardGradients {
  /** float64 [groups, variables]: sums over the samples of each group, the heads of all layers first. */
  readonly sums: DeviceTensor;
  /** float64 [b] of each micro-batch. */
  readonly losses: readonly DeviceTensor[];
}

interface FisherBatch {
  readonly batch: PackedBatch;
  readonly targets: PackedPart;
  /** int32 [b]: group of the shard that each sample is in. */
  readonly groups: PackedPart;
}

function shardGradients(context: TaskContext, weights: EncoderWeights, plan: Plan, shard: Shard): ShardGradients {
  const { engine, ops } = context;
  const groups = Math.ceil((shard.endSample - shard.firstSample) / plan.groupSize);
  const upload = new PackedUpload();
  const packed = shard.batches.map((batch): FisherBatch => {
    const groupOf = (member: number) => Math.floor((member - shard.firstSample) / plan.groupSize);
    return {
      batch: packBatch(upload, plan.samples, batch, weights.config),
      targets: packTargets(upload, plan.samples, batch, weights.config),
      groups: upload.add(batch.members.map(groupOf), [batch.members.length]),
    };
  });
  const sent = upload.send(engine);
  const losses: DeviceTensor[] = [];
  let sums: DeviceTensor | null = null;
  for (const part of packed) {
    context.checkCancelled();
    const before: DeviceTensor | null = sums;
    const found = engine.scope((): { losses: DeviceTensor; sums: DeviceTensor } => {
      const batch = unpackBatch(ops, sent, part.batch);
      const targets = unpack(ops, sent, part.targets);
      const own = engine.withPrecision(FISHER_PRECISION, () => batchGradients(context, weights, batch, targets));
      // [groups, b]: 1 where a sample belongs to a group, so that a product sums a group's samples, exactly.
      const membership = ops.toFloat64(ops.oneHot(unpack(ops, sent, part.groups), groups, 0));
      const added = ops.matMul(membership, ops.toFloat64(own.gradients));
      return { losses: own.losses, sums: before === null ? added : ops.add(before, added) };
    });
    if (before !== null) engine.dispose(before);
    sums = found.sums;
    losses.push(found.losses);
  }
  return { sums: sums!, losses };
}

interface BatchGradients {
  /** float64 [b] */
  readonly losses: DeviceTensor;
  /** float32 [b, variables]: the heads of all layers, then the neurons. */
  readonly gradients: DeviceTensor;
}

function batchGradients(
  context: TaskContext,
  weights: EncoderWeights,
  batch: DeviceBatch,
  targets: DeviceTensor,
): BatchGradients {
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
    let dx = headBackward(forward, weights, head, gradient);

    const heads: DeviceTensor[] = [];
    const neurons: DeviceTensor[] = [];
    for (let l = last; l >= 0; l--) {
      context.checkCancelled();
      const incoming = dx;
      const found = engine.scope(() => layerBackward(forward, weights, l, passes[l], incoming, batch));
      engine.dispose(incoming);
      for (const tensor of passTensors(passes[l])) engine.dispose(tensor);
      if (found.heads !== null) heads.unshift(found.heads);
      if (found.neurons !== null) neurons.unshift(found.neurons);
      if (found.input !== null) dx = found.input;
    }
    const all = [...heads, ...neurons];
    // A model of which nothing is left has rows without columns.
    const none = () => engine.upload(new Float32Array(0), [batch.samples, 0]);
    return { losses, gradients: all.length === 0 ? none() : ops.concat(all, 1) };
  });
}

function passTensors(pass: LayerPass): DeviceTensor[] {
  const groups = [pass.attention, pass.attentionNorm, pass.ffn, pass.ffnNorm];
  return groups.flatMap((group) => (group === null ? [] : Object.values(group).filter((tensor) => tensor !== null)));
}
