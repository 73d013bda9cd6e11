// A task as the job's stages hand it to the scheduler, and one try of it on one worker.
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import { cancelOnAbort } from '../../shared/rpc/abort.ts';
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';
import { readTensors } from '../../shared/rpc/tensor-stream.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { PooledWorker } from './worker-pool.ts';

export interface TaskSpec {
  /** For logs and errors: "fisher/3". */
  readonly id: string;
  /** Brought to the worker before the task is sent. */
  readonly blobs: readonly BlobSource[];
  readonly request: Omit<RunRequestBody, 'taskId'>;
  /** Tasks with the same key go to the same worker while it lives, since it keeps what they share in memory. Never
   * changes a result. */
  readonly affinity?: string;
  /** Runs with nothing else on its worker. */
  readonly exclusive?: boolean;
  /** How long it may compute; waiting behind another task of its worker is not counted. */
  readonly deadlineMs: number;
}

export type TaskResult = Map<string, NamedTensor>;

/** Sends the task once and reads its result. @throws EspalierError. */
export async function tryTask(
  worker: PooledWorker,
  task: TaskSpec,
  options: { deadlineMs: number; signal: AbortSignal },
): Promise<TaskResult> {
  const { deadlineMs, signal } = options;
  await worker.uploader.ensure(task.blobs, signal);
  signal.throwIfAborted();
  const call = worker.connection.worker.run(
    { ...task.request, taskId: task.id },
    { deadline: Date.now() + deadlineMs },
  );
  const stop = cancelOnAbort(call, signal);
  try {
    return await readTensors(call);
  } finally {
    stop();
  }
}
