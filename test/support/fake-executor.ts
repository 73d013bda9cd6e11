// A worker for tests: the real gRPC server and blob store, with an executor whose answer the test writes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BlobStore } from '../../shared/blobs/blob-store.ts';
import { type Log, SILENT_LOG } from '../../shared/log.ts';
import type { DeviceClass, RunRequest } from '../../shared/rpc/protocol.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import type { Tracer } from '../../shared/telemetry/trace.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTurns } from '../../worker/service/device-turns.ts';
import { startWorkerServer, type WorkerServer } from '../../worker/service/worker-server.ts';
import type { TaskExecutor } from '../../worker/task-executor.ts';
import type { OnPart } from '../../worker/tasks/task-context.ts';

export const FAKE_DEVICE: DeviceClass = {
  kind: 'cpu',
  model: 'fake',
  intraOpThreads: 1,
  tensorflowVersion: '0.0.0',
  kernels: 'plain',
  tf32: false,
  memoryGb: 0,
};

export const FAKE_PEAK_BYTES = 5e8;

export type FakeRun = (
  request: RunRequest,
  signal: AbortSignal,
  onPart?: OnPart,
) => Promise<NamedTensor[]> | NamedTensor[];

/** Counts what it is asked; fails loudly when two tasks compute at once. */
export class FakeExecutor implements TaskExecutor {
  readonly started: string[] = [];
  readonly #run: FakeRun;
  readonly #deviceClass: DeviceClass;
  #computing = 0;

  constructor(run: FakeRun = squareOfFirstShard, deviceClass: DeviceClass = FAKE_DEVICE) {
    this.#run = run;
    this.#deviceClass = deviceClass;
  }

  get isComputing(): boolean {
    return this.#computing > 0;
  }

  async run(request: RunRequest, signal: AbortSignal, onPart?: OnPart): Promise<NamedTensor[]> {
    if (this.#computing > 0) throw new Error('two tasks at once');
    this.#computing += 1;
    this.started.push(request.taskId);
    try {
      return await this.#run(request, signal, onPart);
    } finally {
      this.#computing -= 1;
    }
  }

  describe() {
    return { deviceClass: this.#deviceClass, memoryBytes: 1e9 };
  }

  models(): readonly string[] {
    return [];
  }

  peakMemoryBytes(): number {
    return FAKE_PEAK_BYTES;
  }

  async close(): Promise<void> {}
}

/** "square" F64 [1]: the square of the number of the first shard. */
export function squareOfFirstShard(request: RunRequest): NamedTensor[] {
  const first = request.fisher?.shards?.first ?? Number.NaN;
  return [{ name: 'square', dtype: 'F64', shape: [1], data: Float64Array.of(first * first) }];
}

export interface FakeWorkerOptions {
  readonly run?: FakeRun;
  readonly deviceClass?: DeviceClass;
  /** A port that was used before: the same address again. */
  readonly port?: number;
  readonly maxWaiting?: number;
  readonly limitBytes?: number;
  readonly blobDir?: string;
  readonly tls?: Tls;
  readonly tracer?: Tracer;
  readonly log?: Log;
  /** Left out: the device is its own. */
  readonly turns?: DeviceTurns;
}

export interface FakeWorker {
  readonly address: string;
  readonly port: number;
  readonly executor: FakeExecutor;
  readonly blobs: BlobStore;
  readonly server: WorkerServer;
  /** Cuts all connections at once, as a kill would. */
  close(): Promise<void>;
}

export async function startFakeWorker(options: FakeWorkerOptions = {}): Promise<FakeWorker> {
  const blobDir = options.blobDir ?? (await mkdtemp(path.join(tmpdir(), 'espalier-blobs-')));
  const blobs = await BlobStore.open(blobDir, { limitBytes: options.limitBytes ?? 1e8 });
  const executor = new FakeExecutor(options.run, options.deviceClass);
  const server = await startWorkerServer({
    host: '127.0.0.1',
    port: options.port ?? 0,
    executor,
    blobs,
    maxWaiting: options.maxWaiting ?? 4,
    tls: options.tls ?? null,
    ...(options.tracer && { tracer: options.tracer }),
    log: options.log ?? SILENT_LOG,
    ...(options.turns && { turns: options.turns }),
  });
  const close = async () => {
    await server.close();
    if (options.blobDir === undefined) await rm(blobDir, { recursive: true, force: true });
  };
  return { address: `127.0.0.1:${server.port}`, port: server.port, executor, blobs, server, close };
}
