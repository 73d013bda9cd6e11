// Task "evaluate": outputs of a model, dense or pruned, for some shards.
import type { Plan, Shard } from '../../dataset/plan.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor, Precision } from '../engine/engine.ts';
import { PackedUpload } from '../engine/packed-upload.ts';
import { type BatchForm, type DeviceBatch, packBatch, unpackBatch } from '../model/device-batch.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import { lastQueries } from '../model/forward.ts';
import { headForward } from '../model/head.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { Student } from '../model/student.ts';
import { batchForm } from './gradient-pass.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface EvaluateInput {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly shards: ShardRange;
  /** null: the checkpoint as it is. */
  readonly student: Student | null;
  /** Of the products; left out: float32. */
  readonly precision?: Precision;
}

/** @returns "logits" F32 [rows, outputs] in plan order: a row a sample, or a row an unpadded token. */
export async function runEvaluate(context: TaskContext, input: EvaluateInput): Promise<NamedTensor[]> {
  const { models, engine } = context;
  const { model, student, precision = 'float32' } = input;
  const weights =
    student === null ? await models.dense(model) : await models.student(model, student.masks, student.patches);
  const shards = shardsOf(input.plan, input.shards);
  const byToken = weights.headDense === null;
  const { outputs } = weights.config;
  const first = shards[0].firstSample;
  const end = shards[shards.length - 1].endSample;
  const parts = new Array<Float32Array>(end - first);
  for (const shard of shards) {
    const { form, logits } = engine.withPrecision(precision, () => {
      const form = batchForm(context, weights.config);
      return { form, logits: engine.scope(() => shardLogits(context, weights, input.plan, shard, form)) };
    });
    let row = 0;
    for (const { members, tokens } of shard.batches)
      members.forEach((member) => {
        const own = byToken ? input.plan.samples[member].tokenIds.length : 1;
        parts[member - first] = logits.subarray(row * outputs, (row + own) * outputs);
        row += byToken && form === 'padded' ? tokens : own;
      });
  }
  return joinedLogits(parts, outputs);
}

// A row a sample or a token, micro-batch after micro-batch, fetched together: to fetch is to wait for the device.
function shardLogits(
  context: TaskContext,
  weights: EncoderWeights,
  plan: Plan,
  shard: Shard,
  form: BatchForm,
): Float32Array {
  const { engine, ops } = context;
  const upload = new PackedUpload();
  const packed = shard.batches.map((batch) => packBatch(upload, plan.samples, batch, weights.config, form));
  const sent = upload.send(ops);
  const logits = packed.map((batch) => {
    context.checkCancelled();
    return engine.scope(() => modelLogits(context, weights, unpackBatch(ops, sent, batch)));
  });
  return engine.downloadFloat32(ops.concat(logits, 0));
}

/** Logits of samples, one after the other. */
export function joinedLogits(parts: readonly Float32Array[], outputs: number): NamedTensor[] {
  const rows = parts.reduce((sum, part) => sum + part.length, 0) / outputs;
  const data = new Float32Array(rows * outputs);
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return [{ name: 'logits', dtype: 'F32', shape: [rows, outputs], data }];
}

/** Forward pass of a whole model, keeping one layer at a time. The result belongs to the scope that is open. */
export function modelLogits(context: TaskContext, weights: EncoderWeights, device: DeviceBatch): DeviceTensor {
  const { engine, forward } = context;
  const last = weights.layers.length - 1;
  let x = engine.scope(() => forward.embed(weights, device));
  for (let l = 0; l <= last; l++) {
    context.checkCancelled();
    const input = x;
    x = engine.scope(() => forward.layer(weights, l, input, device, l === last ? lastQueries(weights) : 'all').x);
    engine.dispose(input);
  }
  return headForward(forward, weights, x).logits;
}
