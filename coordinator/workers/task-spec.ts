// A task as the job's stages hand it to the scheduler, and one try of it on one worker.
import type { Metadata } from '@grpc/grpc-js';
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import { cancelOnAbort } from '../../shared/rpc/abort.ts';
import { readPeakMemory } from '../../shared/rpc/peak-memory.ts';
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';
import {
  DEFAULT_TENSOR_LIMITS,
  readTensors,
  type TensorLimits,
  type TensorSink,
} from '../../shared/rpc/tensor-stream.ts';
import { type CallContext, callMetadata, NO_CONTEXT } from '../../shared/rpc/trace-metadata.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { PooledWorker } from './worker-source.ts';

export interface TaskSpec {
  /** For logs and errors: "fisher/3". */
  readonly id: string;
  /** Brought to the worker before the task is sent, but for those that it gets from the store. */
  readonly blobs: readonly BlobSource[];
  readonly request: Omit<RunRequestBody, 'taskId'>;
  /** Tasks with the same key go to the same worker while it lives, since it keeps what they share in memory. Never
   * changes a result. */
  readonly affinity?: string;
  /** Runs with nothing else on its device. */
  readonly exclusive?: boolean;
  /** Where the large tensors of a try's result go; left out: into memory. Two tries may write at the same time. */
  readonly sink?: () => TensorSink;
  /** Tensors of its result; left out: the usual limit. */
  readonly mostTensors?: number;
  /** How long it may compute; waiting behind another task of its worker is not counted. */
  readonly deadlineMs: number;
}

export type TaskResult = Map<string, NamedTensor>;

export interface TryOptions {
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly limits?: TensorLimits;
  /** Told to the worker. */
  readonly context?: CallContext;
  /** The blobs are there and the call goes out. */
  readonly onSent?: () => void;
  /** Told of bytes of the result as they come. */
  readonly onBytes?: (count: number) => void;
  /** Told the most memory that the worker has used so far. */
  readonly onPeakMemory?: (bytes: number) => void;
}

/** Name of the task's kind, as in the oneof of RunRequest. */
export function kindOf({ request }: Pick<TaskSpec, 'request'>): string {
  const { fisher, normalEquations, solve, evaluate, latency, activations, evaluateOnnx } = request;
  const { gradients, refitEquations, refit } = request;
  const staged = { fisher, normalEquations, solve, activations };
  const tasks = { ...staged, gradients, refitEquations, refit, evaluate, evaluateOnnx, latency };
  return Object.entries(tasks).find(([, task]) => task)?.[0] ?? 'unknown';
}

/** What a request is made of, nearly: its masks. */
export function requestBytes({ request }: Pick<TaskSpec, 'request'>): number {
  const { normalEquations, solve, evaluate, latency, activations, gradients, refitEquations, refit } = request;
  const masks = [normalEquations, solve, activations].flatMap((task) => [task?.teacher, task?.student]);
  const students = [evaluate, gradients, refitEquations, refit].map((task) => task?.student);
  let bytes = 0;
  for (const set of [...masks, ...students, ...(latency?.students ?? [])])
    for (const part of [set?.headMask, set?.neuronMask, set?.headScales, set?.neuronScales])
      bytes += part === undefined ? 0 : part.length;
  return bytes;
}

function limitsOf({ mostTensors }: TaskSpec): TensorLimits | null {
  return mostTensors === undefined ? null : { ...DEFAULT_TENSOR_LIMITS, maxTensors: mostTensors };
}

/** Those that a worker does not get from the store. */
export function sentWith(blobs: readonly BlobSource[]): BlobSource[] {
  return blobs.filter(({ origin }) => origin !== 'store');
}

/** Sends the task once and reads its result. @throws EspalierError. */
export async function tryTask(worker: PooledWorker, task: TaskSpec, options: TryOptions): Promise<TaskResult> {
  const { deadlineMs, signal } = options;
  const toSend = sentWith(task.blobs);
  if (toSend.length > 0) await worker.uploader.ensure(toSend, signal);
  signal.throwIfAborted();
  options.onSent?.();
  const call = worker.connection.worker.run(
    { ...task.request, taskId: task.id },
    callMetadata(options.context ?? NO_CONTEXT),
    { deadline: Date.now() + deadlineMs },
  );
  const stop = cancelOnAbort(call, signal);
  try {
    const { onBytes, onPeakMemory } = options;
    const sink = task.sink?.();
    const onTrailer = (trailer: Metadata) => {
      const bytes = readPeakMemory(trailer);
      if (bytes !== null) onPeakMemory?.(bytes);
    };
    const limits = options.limits ?? limitsOf(task);
    const told = { ...(limits && { limits }), ...(sink && { sink }), ...(onBytes && { onBytes }) };
    return await readTensors(call, { ...told, onTrailer });
  } finally {
    stop();
  }
}
