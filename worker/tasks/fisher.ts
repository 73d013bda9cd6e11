// Task "fisher": gradients of the mask variables of some shards, summed by Fisher group (method: docs/method.md, "Importance"),
// or of each sample, at a student, for the rearrangement of a gradual step.
import type { Plan, Shard } from '../../dataset/plan.ts';
import { MOST_TASK_GRADIENTS } from '../../pruning/fisher.ts';
import type { Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { type PackedPart, PackedUpload, type SentUpload, unpack } from '../engine/packed-upload.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { Student } from '../model/student.ts';
import { deviceGrams } from './device-grams.ts';
import { type LabelledBatch, packShard, type ShardPass, sampleLosses, shardPass } from './gradient-pass.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface FisherInput {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly shards: ShardRange;
  /** Return Grams in place of rows. */
  readonly gram: boolean;
  /** null, or left out: the dense model. */
  readonly student?: Student | null;
  /** A row a sample; else one a group of the plan. */
  readonly bySample?: boolean;
}

/** @returns the tensors that worker.proto names for FisherTask. */
export async function runFisher(context: TaskContext, input: FisherInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const { plan, student = null } = input;
  const groupSize = input.bySample ? 1 : plan.groupSize;
  const weights = await (student === null
    ? context.models.dense(input.model)
    : context.models.student(input.model, student.masks, student.patches));
  const shards = shardsOf(plan, input.shards);
  const samples = shards[shards.length - 1].endSample - shards[0].firstSample;
  const groups = Math.ceil(samples / groupSize);
  const variables =
    student === null
      ? weights.layers.reduce((sum, { heads, neurons }) => sum + heads + neurons, 0)
      : student.masks.headMask.length + student.masks.neuronMask.length;
  if (groups * variables > MOST_TASK_GRADIENTS)
    throw new EspalierError(
      'protocol',
      `fisher: got ${groups} rows of ${variables}, expected at most ${MOST_TASK_GRADIENTS} gradients`,
    );
  return engine.scope(() => {
    const uploads = shards.map((shard) => uploadShard(context, weights, plan, shard, groupSize));
    const found = uploads.map((upload) => engine.scope(() => shardRows(context, weights, upload)));
    const sums = ops.concat(
      found.map(({ sum }) => sum),
      0,
    );
    const kept = ops.toFloat32(ops.div(sums, ops.toFloat64(engine.scalar(groupSize)))); // [groups, kept variables]
    const rows = student === null ? kept : denseColumns(context, kept, student.masks); // [groups, variables]
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

interface ShardUpload {
  readonly sent: SentUpload;
  readonly packed: readonly LabelledBatch[];
  /** Rows of the shard. */
  readonly groups: number;
  /** int32 [b] of each micro-batch: row that each sample is in. */
  readonly memberGroups: readonly PackedPart[];
}

// All shards of a task go up before the first pass: an upload waits for everything that was issued before it.
function uploadShard(
  context: TaskContext,
  weights: EncoderWeights,
  plan: Plan,
  shard: Shard,
  groupSize: number,
): ShardUpload {
  const upload = new PackedUpload();
  const packed = packShard(context, upload, weights, plan, shard);
  const groupOf = (member: number) => Math.floor((member - shard.firstSample) / groupSize);
  const memberGroups = shard.batches.map(({ members }) => upload.add(members.map(groupOf), [members.length]));
  const groups = Math.ceil((shard.endSample - shard.firstSample) / groupSize);
  return { sent: upload.send(context.ops), packed, groups, memberGroups };
}

// Its sum is float64 [groups, variables]: over the samples of each group, the heads of all layers first.
function shardRows(
  context: TaskContext,
  weights: EncoderWeights,
  { sent, packed, groups, memberGroups }: ShardUpload,
): ShardPass {
  const { ops } = context;
  return shardPass(context, weights, sent, packed, {
    wantsLengths: false,
    summand: (gradients, index) => {
      // [groups, b]: 1 where a sample belongs to a group, so that a product sums a group's samples, exactly.
      const membership = ops.toFloat64(ops.oneHot(unpack(ops, sent, memberGroups[index]), groups, { axis: 0 }));
      return ops.matMul(membership, ops.toFloat64(gradients));
    },
  });
}

/** Columns of what a student keeps, the heads of all layers first, at their places among all variables; the others are 0.
 * @param kept float32 [rows, kept variables]. */
function denseColumns({ ops }: TaskContext, kept: DeviceTensor, { headMask, neuronMask }: Masks): DeviceTensor {
  const columns = kept.shape[1];
  const bits = [...headMask, ...neuronMask];
  if (columns === bits.length) return kept;
  let next = 0;
  // What is pruned takes a column of zeros, after all others.
  const places = Int32Array.from(bits, (bit) => (bit === 1 ? next++ : columns));
  const upload = new PackedUpload();
  const part = upload.add(places, [places.length]);
  const padded = ops.pad(kept, [
    [0, 0],
    [0, 1],
  ]);
  return ops.gather(padded, unpack(ops, upload.send(ops), part), 1);
}
