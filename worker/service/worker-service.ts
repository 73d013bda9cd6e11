// The Worker service: says what this worker is, and runs tasks one after the other.
import { setImmediate as nextRoundOfEvents } from 'node:timers/promises';
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { unlessAborted } from '../../shared/rpc/abort.ts';
import type { Frame } from '../../shared/rpc/generated/espalier/v1/Frame.ts';
import { peakMemoryTrailer } from '../../shared/rpc/peak-memory.ts';
import { PROTOCOL_VERSION, type RunRequest, type WorkerHandlers } from '../../shared/rpc/protocol.ts';
import { toStatus } from '../../shared/rpc/status.ts';
import { writeTensors } from '../../shared/rpc/tensor-stream.ts';
import { callContextOf, contextFields } from '../../shared/rpc/trace-metadata.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';
import type { Tracer } from '../../shared/telemetry/trace.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { TaskExecutor } from '../task-executor.ts';
import type { TaskOutcome, WorkerObserver } from '../worker-observer.ts';
import type { BlobSupply } from './blob-supply.ts';
import type { DeviceTurns } from './device-turns.ts';
import { blobsOf } from './request-blobs.ts';
import type { TaskQueue } from './task-queue.ts';

type RunCall = ServerWritableStream<RunRequest, Frame>;

export interface WorkerServiceParts {
  readonly executor: TaskExecutor;
  readonly blobs: BlobStore;
  readonly queue: TaskQueue;
  readonly supply: BlobSupply;
  readonly turns: DeviceTurns;
  readonly observer: WorkerObserver;
  readonly instanceId: string;
  /** Aborted when the worker will wait no longer for its tasks. */
  readonly stopped: AbortSignal;
  /** Told after each task that leaves hidden states here. */
  readonly onStatesKept: () => void;
  readonly tracer: Tracer;
  readonly log: Log;
}

const LEAVES_STATES: ReadonlySet<string> = new Set(['normalEquations', 'solve', 'activations']);

export function workerService(parts: WorkerServiceParts): WorkerHandlers {
  const { instanceId } = parts;
  return {
    Describe: (_call, callback) => {
      const description = { version: espalierVersion(), protocolVersion: PROTOCOL_VERSION, instanceId };
      callback(null, { ...description, ...parts.executor.describe() });
    },
    Run: (call) => {
      const { taskId, task } = call.request;
      const context = callContextOf(call.metadata);
      const log = parts.log.child({ ...contextFields(context), task: taskId });
      const span = parts.tracer.start('run', {
        parent: context.traceparent,
        kind: 'server',
        attributes: { 'espalier.task': taskId, 'espalier.kind': task ?? '' },
      });
      const ended = (outcome: TaskOutcome, error?: EspalierError) => {
        parts.observer.taskEnded(outcome);
        span.end(error);
      };
      answer({ ...parts, log }, call).then(
        () => ended('done'),
        (caught) => {
          const error = toEspalierError(caught);
          ended(outcomeOf(error), error);
          if (error.code !== 'cancelled') log.warning('task failed', { error });
          call.emit('error', toStatus(error));
        },
      );
    },
  };
}

/** Runs the task of one call and streams its result; the call's end, early or not, aborts and releases everything. */
async function answer(parts: WorkerServiceParts, call: RunCall): Promise<void> {
  const { executor, blobs, supply, turns, queue, stopped, observer, log } = parts;
  const { request } = call;
  const refs = blobsOf(request);
  // What only this worker has can be fetched until it is gone.
  const place = queue.admit(call.getPeer(), request.activations?.heldOnly === true);
  const unpin = blobs.pin(refs.map(({ digest }) => digest));
  const gone = new AbortController();
  // Also a passed deadline arrives as "cancelled".
  call.on('cancelled', () => gone.abort(new EspalierError('cancelled', `${request.taskId}: the caller cancelled it`)));
  const signal = AbortSignal.any([gone.signal, stopped, place.handedBack]);
  // Parts of the result, one after the other.
  let writing = Promise.resolve();
  const write = async (tensors: readonly NamedTensor[]) => {
    await writeTensors(call, tensors);
    observer.addBytes(
      'sent',
      tensors.reduce((sum, { data }) => sum + data.byteLength, 0),
    );
  };
  const onPart = (tensors: readonly NamedTensor[]) => {
    writing = writing.then(() => write(tensors));
    // Told when all are waited for.
    writing.catch(() => {});
  };
  try {
    await unlessAborted(supply.require(refs, signal), signal);
    const tensors = await place.compute(async () => {
      const leaveDevice = await turns.enter(request.task === 'latency' ? 'exclusive' : 'shared', signal);
      const startedAt = performance.now();
      const ended = observer.taskStarted(request.task ?? '');
      try {
        const result = await executor.run(request, signal, onPart);
        if (LEAVES_STATES.has(request.task ?? '')) parts.onStatesKept();
        log.info('task computed', { seconds: (performance.now() - startedAt) / 1000 });
        return result;
      } finally {
        ended();
        await leaveDevice();
      }
    }, signal);
    // First the next task goes to the engine: to write a large result takes this thread some milliseconds.
    await nextRoundOfEvents();
    await writing;
    await write(tensors);
    call.end(peakMemoryTrailer(executor.peakMemoryBytes?.() ?? null));
  } finally {
    unpin();
    place.leave();
  }
}

function outcomeOf({ code }: EspalierError): TaskOutcome {
  if (code === 'cancelled') return 'cancelled';
  return code === 'worker_busy' || code === 'worker_unavailable' ? 'refused' : 'failed';
}
