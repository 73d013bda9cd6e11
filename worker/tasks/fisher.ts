// Task "fisher": gradients of the mask variables of some shards, summed by Fisher group (method: docs/method.md, "Importance").
import type { Plan, Shard } from '../../dataset/plan.ts';
import { MOST_TASK_GRADIENTS } from '../../pruning/fisher.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { PackedUpload, unpack } from '../engine/packed-upload.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { LocalModel } from '../model/local-model.ts';
import { deviceGrams } from './device-grams.ts';
import { packShard, type ShardPass, sampleLosses, shardPass } from './gradient-pass.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

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
  const samples = shards[shards.length - 1].endSample - shards[0].firstSample;
  const groups = Math.ceil(samples / plan.groupSize);
  const variables = weights.layers.reduce((sum, { heads, neurons }) => sum + heads + neurons, 0);
  if (groups * variables > MOST_TASK_GRADIENTS)
    throw new EspalierError(
      'protocol',
      `fisher: got ${groups} rows of ${variables}, expected at most ${MOST_TASK_GRADIENTS} gradients`,
    );
  return engine.scope(() => {
    const found = shards.map((shard) => engine.scope(() => shardRows(context, weights, plan, shard)));
    const sums = ops.concat(
      found.map(({ sum }) => sum),
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
    // Losses come first: where they are not finite, that is what there is to say.
    const data = sampleLosses(shards, inBatchOrder);
    const losses: NamedTensor = { name: 'losses', dtype: 'F32', shape: [samples], data };
    if (input.gram) return [losses, ...deviceGrams(context, weights.config, rows)];
    return [losses, { name: 'rows', dtype: 'F32', shape: [groups, variables], data: engine.downloadFloat32(rows) }];
  });
}

// Its sum is float64 [groups, variables]: over the samples of each group, the heads of all layers first.
function shardRows(context: TaskContext, weights: EncoderWeights, plan: Plan, shard: Shard): ShardPass {
  const { ops } = context;
  const groups = Math.ceil((shard.endSample - shard.firstSample) / plan.groupSize);
  const upload = new PackedUpload();
  const packed = packShard(upload, weights, plan, shard);
  const groupOf = (member: number) => Math.floor((member - shard.firstSample) / plan.groupSize);
  // int32 [b] of each micro-batch: group of the shard that each sample is in.
  const memberGroups = shard.batches.map(({ members }) => upload.add(members.map(groupOf), [members.length]));
  const sent = upload.send(ops);
  return shardPass(context, weights, sent, packed, {
    wantsLengths: false,
    summand: (gradients, index) => {
      // [groups, b]: 1 where a sample belongs to a group, so that a product sums a group's samples, exactly.
      const membership = ops.toFloat64(ops.oneHot(unpack(ops, sent, memberGroups[index]), groups, 0));
      return ops.matMul(membership, ops.toFloat64(gradients));
    },
  });
}
