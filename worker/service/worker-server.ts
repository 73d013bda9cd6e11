// The gRPC front of a worker: Worker, Blobs and Health on one port.
//
// serving → draining (refuses new tasks, finishes those it has) → closed. `close` goes there at once.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../shared/errors.ts';
import { within } from '../../shared/lifecycle.ts';
import type { Log } from '../../shared/log.ts';
import { SERVER_OPTIONS } from '../../shared/rpc/channel.ts';
import { protocol } from '../../shared/rpc/protocol.ts';
import { requireRole } from '../../shared/rpc/roles.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import type { TaskExecutor } from '../task-executor.ts';
import { blobsService } from './blobs-service.ts';
import { TaskQueue } from './task-queue.ts';
import { workerService } from './worker-service.ts';

const HEALTH_NAMES = ['', 'espalier.v1.Worker'];
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
  readonly log: Log;
}

export interface WorkerServer {
  readonly port: number;
  /** Finishes the tasks that it has, at most for `timeoutMs`, and closes. */
  drain(timeoutMs: number): Promise<void>;
  /** Aborts every task and cuts every connection. */
  close(): Promise<void>;
}

/** Starts to serve. @throws EspalierError "usage" when the port cannot be had. */
export async function startWorkerServer(options: WorkerServerOptions): Promise<WorkerServer> {
  const { executor, blobs, log, tls = null } = options;
  const queue = new TaskQueue(options.maxWaiting);
  const stop = new AbortController();
  const interceptors = tls === null ? [] : [requireRole('coordinator', log)];
  const server = new Server({ ...SERVER_OPTIONS, interceptors });
  const health = new HealthImplementation(Object.fromEntries(HEALTH_NAMES.map((name) => [name, 'SERVING' as const])));
  server.addService(protocol().Worker.service, workerService({ executor, blobs, queue, stopped: stop.signal, log }));
  server.addService(protocol().Blobs.service, blobsService(blobs));
  health.addToServer(server);
  const credentials = tls === null ? ServerCredentials.createInsecure() : tls.serverCredentials();
  const port = await listen(server, credentials, options.host, options.port);

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
    // Tells peers to go, while the calls that run go on. It waits for open health watches too: hence the flush limit.
    const goodbye = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    if ((await within(queue.idle(), timeoutMs)) === 'done') await within(goodbye, FLUSH_MS);
    await close();
  };
  return { port, drain, close };
}

function listen(server: Server, credentials: ServerCredentials, host: string, port: number): Promise<number> {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, boundPort) => {
      if (error === null) resolve(boundPort);
      else reject(new EspalierError('usage', `${address}: cannot be listened on: ${error.message}`, { cause: error }));
    });
  });
}
