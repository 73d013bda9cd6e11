// The Worker service: says what this worker is, and runs tasks one after the other.

import { randomUUID } from 'node:crypto';
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import type { Frame } from '../../shared/rpc/generated/espalier/v1/Frame.ts';
import { PROTOCOL_VERSION, type RunRequest, type WorkerHandlers } from '../../shared/rpc/protocol.ts';
import { toStatus } from '../../shared/rpc/status.ts';
import { writeTensors } from '../../shared/rpc/tensor-stream.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';
import type { TaskExecutor } from '../task-executor.ts';
import { blobsOf, requireBlobs } from './request-blobs.ts';
import type { TaskQueue } from './task-queue.ts';

type RunCall = ServerWritableStream<RunRequest, Frame>;

export interface WorkerServiceParts {
  readonly executor: TaskExecutor;
  readonly blobs: BlobStore;
  readonly queue: TaskQueue;
  /** Aborted when the worker will wait no longer for its tasks. */
  readonly stopped: AbortSignal;
  readonly log: Log;
}

export function workerService(parts: WorkerServiceParts): WorkerHandlers {
  const instanceId = randomUUID();
  return {
    Describe: (_call, callback) => {
      const description = { version: espalierVersion(), protocolVersion: PROTOCOL_VERSION, instanceId };
      callback(null, { ...description, ...parts.executor.describe() });
    },
    Run: (call) => {
      answer(parts, call).catch((caught) => {
        const error = toEspalierError(caught);
        if (error.code !== 'cancelled')
          parts.log.warning('task failed', { taskId: call.request.taskId, code: error.code, error: error.message });
        call.emit('error', toStatus(error));
      });
    },
  };
}

/** Runs the task of one call and streams its result; the call's end, early or not, aborts and releases everything. */
async function answer({ executor, blobs, queue, stopped, log }: WorkerServiceParts, call: RunCall): Promise<void> {
  const { request } = call;
  const refs = blobsOf(request);
  const leave = queue.admit();
  const unpin = blobs.pin(refs.map(({ digest }) => digest));
  const gone = new AbortController();
  // Also a passed deadline arrives as "cancelled".
  call.on('cancelled', () => gone.abort(new EspalierError('cancelled', `${request.taskId}: the caller cancelled it`)));
  const signal = AbortSignal.any([gone.signal, stopped]);
  try {
    await requireBlobs(blobs, refs);
    let startedAt = 0;
    const tensors = await queue.compute(() => {
      startedAt = performance.now();
      return executor.run(request, signal);
    }, signal);
    log.info('task computed', { taskId: request.taskId, seconds: (performance.now() - startedAt) / 1000 });
    await writeTensors(call, tensors);
    call.end();
  } finally {
    unpin();
    leave();
  }
}
