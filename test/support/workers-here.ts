// Workers of a job that compute in this process: every request takes the form that it has on the wire.
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { RunOptions } from '../../coordinator/workers/task-run.ts';
import type { TaskResult, TaskSpec } from '../../coordinator/workers/task-spec.ts';
import type { Workers } from '../../coordinator/workers/workers.ts';
import { CHUNK_BYTES, type DeviceClass, protocolDefinition, type RunRequest } from '../../shared/rpc/protocol.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { FAKE_DEVICE } from './fake-executor.ts';
import { received } from './received.ts';

/** Elements of a result that a task's sink gets at once. */
const ELEMENTS = CHUNK_BYTES / 4;

/** @param run computes a task of which it brings the blobs. @param count workers that the job believes there are.
 * @param deviceClass that it believes they have. */
export function workersHere(
  run: (request: RunRequest, spec: TaskSpec) => Promise<readonly NamedTensor[]>,
  count = 1,
  deviceClass: DeviceClass = FAKE_DEVICE,
): Workers {
  const call = (protocolDefinition()['espalier.v1.Worker'] as ServiceDefinition).Run;
  const runTasks = async (specs: readonly TaskSpec[], { onDone }: RunOptions = {}): Promise<TaskResult[]> => {
    const results: TaskResult[] = [];
    for (const spec of specs) {
      const request = call.requestDeserialize(call.requestSerialize({ taskId: spec.id, ...spec.request }));
      const result = await received(spec, await run(request as RunRequest, spec), ELEMENTS);
      results.push(result);
      onDone?.(spec, result);
    }
    return results;
  };
  return { count, deviceClass, runTasks } as unknown as Workers;
}
