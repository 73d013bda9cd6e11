// What the gRPC front needs of the engine behind it.
import type { DeviceClass, RunRequest } from '../shared/rpc/protocol.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import type { OnPart } from './tasks/task-context.ts';

export interface TaskExecutor {
  /** Runs one task to its result; rejects with EspalierError; stops between two layers when the signal aborts.
   * Never called again before the last call has settled.
   * @param onPart told of tensors that come before the rest, each once. @returns the rest. */
  run(request: RunRequest, signal: AbortSignal, onPart?: OnPart): Promise<NamedTensor[]>;
  describe(): { readonly deviceClass: DeviceClass; readonly memoryBytes: number };
  /** Digests of the weight files of the models that are in memory, the one used last at the end. */
  models(): readonly string[];
  /** The most memory that was in use so far, in bytes: tensors on the GPU, or on a CPU the process; null or left out: not
   * known. */
  peakMemoryBytes?(): number | null;
  close(): Promise<void>;
}
