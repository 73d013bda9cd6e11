// The gRPC front of a worker: Worker, Blobs and Health on one port.
//
// serving → draining (refuses new tasks, hands back those that wait, finishes the one that computes and results on their
// way; hidden states of mid-tuning can still be fetched, for a while after the last task that made some) → closed. `close`
// goes there at once.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../shared/errors.ts';
import { within } from '../../shared/lifecycle.ts';
import type { Log } from '../../shared/log.ts';
import { SERVER_OPTIONS } from '../../shared/rpc/channel.ts';
import { listen } from '../../shared/rpc/listen.ts';
import { protocol } from '../../shared/rpc/protocol.ts';
import { requireRole } from '../../shared/rpc/roles.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import { NO_TRACER, type Tracer } from '../../shared/telemetry/trace.ts';
import type { TaskExecutor } from '../task-executor.ts';
import { NO_OBSERVER, type WorkerObserver } from '../worker-observer.ts';
import { type BlobSupply, sentBlobs } from './blob-supply.ts';
import { blobsService } from './blobs-service.ts';
import { type DeviceTurns, OWN_DEVICE } from './device-turns.ts';
import { TaskQueue } from './task-queue.ts';
import { workerService } from './worker-service.ts';

const HEALTH_NAMES = ['', 'espalier.v1.Worker'];
/** Least time for results that are on their way when the drain's own time is over. */
const FLUSH_MS = 1_000;

export interface WorkerServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly executor: TaskExecutor;
  readonly blobs: BlobStore;
  /** Tasks that may wait behind the one that computes. */
  readonly maxWaiting: number;
  /** Serves coordinators with a certificate only; null: whoever reaches the port. */
  readonly tls?: Tls | null;
  /** Where blobs come from that tasks name; left out: from coordinators alone. */
  readonly supply?: BlobSupply;
  /** Left out: the device is this process's own. */
  readonly turns?: DeviceTurns;
  readonly observer?: WorkerObserver;
  readonly tracer?: Tracer;
  /** How long after a task of mid-tuning its states can be fetched from a worker that drains; left out: not at all. */
  readonly handOverMs?: number;
  /** Told when tasks come or go. */
  readonly onChange?: () => void;
  readonly log: Log;
}

export interface WorkerServer {
  readonly port: number;
  /** Random for each start. */
  readonly instanceId: string;
  /** Tasks that it has, and how many it takes. */
  readonly tasks: number;
  readonly taskLimit: number;
  /** Refuses new tasks, hands back those that wait, finishes the others, at most for `timeoutMs`, and closes. */
  drain(timeoutMs: number): Promise<void>;
  /** Aborts every task and cuts every connection. */
  close(): Promise<void>;
}

/** Starts to serve. @throws EspalierError "usage" when the port cannot be had. */
export async function startWorkerServer(options: WorkerServerOptions): Promise<WorkerServer> {
  const { executor, blobs, log, tls = null, observer = NO_OBSERVER, tracer = NO_TRACER } = options;
  const { handOverMs = 0 } = options;
  const queue = new TaskQueue(options.maxWaiting, options.onChange);
  const instanceId = randomUUID();
  const stop = new AbortController();
  const interceptors = tls === null ? [] : [requireRole('coordinator', log)];
  const server = new Server({ ...SERVER_OPTIONS, interceptors });
  const health = new HealthImplementation(Object.fromEntries(HEALTH_NAMES.map((name) => [name, 'SERVING' as const])));
  const supply = options.supply ?? sentBlobs(blobs, observer);
  const turns = options.turns ?? OWN_DEVICE;
  let statesKeptMs = Number.NEGATIVE_INFINITY;
  const onStatesKept = () => {
    statesKeptMs = performance.now();
  };
  const own = { instanceId, stopped: stop.signal, onStatesKept };
  const parts = { executor, blobs, supply, turns, queue, observer, tracer, log, ...own };
  server.addService(protocol().Worker.service, workerService(parts));
  server.addService(protocol().Blobs.service, blobsService(blobs, observer));
  health.addToServer(server);
  const port = await listen(server, tls, options.host, options.port);

  const leaving = new EspalierError('worker_unavailable', `${options.host}:${port}: the worker is shutting down`);
  const refuseMore = () => {
    queue.close(leaving);
    for (const name of HEALTH_NAMES) health.setStatus(name, 'NOT_SERVING');
  };
  const close = async () => {
    refuseMore();
    stop.abort(leaving);
    server.forceShutdown();
  };
  const drain = async (timeoutMs: number) => {
    refuseMore();
    const start = performance.now();
    if ((await within(quiet(), timeoutMs)) === 'done') {
      const leftMs = timeoutMs - (performance.now() - start);
      // Tells peers to go, once no task runs or sends: a peer that was told drops what still runs at its next keepalive.
      // It waits for open health watches too: hence the limit.
      const gone = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      await within(gone, Math.max(FLUSH_MS, leftMs));
    }
    await close();
  };
  /** Resolves when nothing runs, and states that lie here have not been asked for in time. */
  const quiet = async () => {
    for (;;) {
      await queue.idle();
      const leftMs = statesKeptMs + handOverMs - performance.now();
      if (leftMs <= 0 || stop.signal.aborted) return;
      await pause(leftMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  return {
    port,
    instanceId,
    get tasks() {
      return queue.size;
    },
    taskLimit: queue.limit,
    drain,
    close,
  };
}
