// Memory for gradients beside what is kept from earlier tasks.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { tokenBytes, USABLE_SHARE } from '../../dataset/batch-memory.ts';
import { type MicroBatch, paddedRows, type Shard } from '../../dataset/plan.ts';
import type { TaskContext } from './task-context.ts';

type Kept = Pick<TaskContext, 'models' | 'states'> & {
  readonly engine: { readonly binding: Pick<TaskContext['engine']['binding'], 'isUsingGpuDevice' | 'deviceMemory'> };
};

/** Before the gradients of these shards: releases hidden states, and where that is not enough models, when the largest
 * micro-batch would not fit beside them. A plan is cut so that it fits beside its own model, but a GPU may hold another job's
 * states and models, too. To wait for memory to run out would cost ten seconds: so long TensorFlow hopes for some.
 * @param rowsOf a micro-batch's; left out: padded ones. */
export function leaveRoom(
  { engine: { binding }, models, states }: Kept,
  config: ModelConfig,
  kernels: string,
  shards: readonly Shard[],
  rowsOf: (batch: MicroBatch) => number = paddedRows,
): void {
  if (!binding.isUsingGpuDevice()) return;
  const needed = shards
    .flatMap(({ batches }) => batches)
    .reduce((most, batch) => {
      return Math.max(most, rowsOf(batch) * tokenBytes(config, kernels, 'gradients', batch.tokens));
    }, 0);
  const isShort = () => {
    const { limitBytes, usedBytes } = binding.deviceMemory();
    return limitBytes !== null && usedBytes !== null && usedBytes + needed > limitBytes * USABLE_SHARE;
  };
  if (isShort()) states.clear();
  if (isShort()) models.clear();
}
