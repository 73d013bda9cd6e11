// Fake workers behind real gRPC in a list that the test changes, with a scheduler over them.
import type { Clock } from '../../coordinator/workers/clock.ts';
import type { FleetListener } from '../../coordinator/workers/fleet-listener.ts';
import { Scheduler } from '../../coordinator/workers/scheduler.ts';
import type { PooledWorker, WorkerSource } from '../../coordinator/workers/worker-source.ts';
import { BlobUploader } from '../../shared/rpc/blob-upload.ts';
import { connectWorker } from '../../shared/rpc/channel.ts';
import {
  FAKE_DEVICE,
  type FakeRun,
  type FakeWorker,
  type FakeWorkerOptions,
  squareOfFirstShard,
  startFakeWorker,
} from './fake-executor.ts';

export interface ListedWorker extends FakeWorker {
  readonly pooled: PooledWorker;
  /** How it answers from now on. */
  replaceRun(run: FakeRun): void;
}

export interface TestSource {
  readonly scheduler: Scheduler;
  start(options: FakeWorkerOptions & { readonly host?: string }): Promise<ListedWorker>;
  /** Takes it out of the list; its connection stays. */
  remove(worker: ListedWorker): void;
  changed(): void;
  close(): Promise<void>;
}

export function openSource(clock: Clock, listener: FleetListener): TestSource {
  let workers: PooledWorker[] = [];
  const listeners = new Set<() => void>();
  const started: ListedWorker[] = [];
  const source: WorkerSource = {
    get workers() {
      return workers;
    },
    exhausted: null,
    subscribe(onChange) {
      listeners.add(onChange);
      return () => listeners.delete(onChange);
    },
  };
  const scheduler = new Scheduler(source, { clock, listener });
  const changed = () => {
    for (const onChange of listeners) onChange();
  };
  return {
    scheduler,
    changed,
    async start(options) {
      let { run = squareOfFirstShard } = options;
      const worker = await startFakeWorker({
        ...options,
        run: (request, signal) => run(request, signal),
      });
      const connection = connectWorker(worker.address);
      const pooled: PooledWorker = {
        address: worker.address,
        instanceId: worker.server.instanceId,
        deviceClass: options.deviceClass ?? FAKE_DEVICE,
        host: options.host ?? worker.address,
        memoryBytes: 1e9,
        connection,
        uploader: new BlobUploader(connection.blobs, worker.address),
        models: new Set(),
        isLeaving: false,
      };
      const listed = {
        ...worker,
        pooled,
        replaceRun: (next: FakeRun) => {
          run = next;
        },
      };
      started.push(listed);
      workers = [...workers, pooled];
      changed();
      return listed;
    },
    remove(worker) {
      workers = workers.filter((other) => other !== worker.pooled);
      changed();
    },
    async close() {
      scheduler.close();
      for (const { pooled } of started) pooled.connection.close();
      await Promise.all(started.map((worker) => worker.close()));
    },
  };
}
