// Task "evaluate_onnx": outputs of a model's ONNX file for some shards, by ONNX Runtime.
import { onnxOutputsOf } from '../../checkpoint/onnx/onnx-outputs.ts';
import type { Plan } from '../../dataset/plan.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { checkBatch } from '../model/device-batch.ts';
import type { OpenOnnxModel } from '../model/onnx-model-cache.ts';
import { joinedLogits } from './evaluate.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

/** @returns "logits" as of an evaluate task. */
export async function runEvaluateOnnx(
  context: Pick<TaskContext, 'checkCancelled'>,
  { session, config }: OpenOnnxModel,
  { plan, shards: range }: { readonly plan: Plan; readonly shards: ShardRange },
): Promise<NamedTensor[]> {
  const shards = shardsOf(plan, range);
  const first = shards[0].firstSample;
  const parts = new Array<Float32Array>(shards[shards.length - 1].endSample - first);
  for (const batch of shards.flatMap(({ batches }) => batches)) {
    context.checkCancelled();
    checkBatch(plan.samples, batch, config);
    const members = [...batch.members];
    const samples = members.map((member) => plan.samples[member]);
    const logits = await onnxOutputsOf(session, config, samples, batch.tokens);
    members.forEach((member, i) => {
      parts[member - first] = logits[i];
    });
  }
  return joinedLogits(parts, config.outputs);
}
