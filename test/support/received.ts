// A task's result on its way to whoever sent it, without a stream.
import type { TaskResult, TaskSpec } from '../../coordinator/workers/task-spec.ts';
import type { NamedTensor } from '../../shared/tensor.ts';

/** Sends tensors into the task's sink as a stream does: a few elements at a time. */
export async function received(task: TaskSpec, tensors: readonly NamedTensor[], elements = 7): Promise<TaskResult> {
  const sink = task.sink?.();
  const result: TaskResult = new Map();
  for (const tensor of tensors) {
    const write = sink?.open(tensor) ?? null;
    if (write === null) result.set(tensor.name, tensor);
    else
      for (let at = 0; at < tensor.data.length; at += elements) await write(tensor.data.slice(at, at + elements), at);
  }
  sink?.end();
  return result;
}
