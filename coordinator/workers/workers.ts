// The workers of a job, from settings to an object that runs tasks: forked here, or running elsewhere, or both.
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import type { EspalierError } from '../../shared/errors.ts';
import { Releases } from '../../shared/lifecycle.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { Tls } from '../../shared/rpc/tls.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import type { WorkerSettings } from '../prune-settings.ts';
import { ForkedWorkers } from './forked-workers.ts';
import { Scheduler } from './scheduler.ts';
import type { RunOptions } from './task-run.ts';
import type { TaskResult, TaskSpec } from './task-spec.ts';
import { type WorkerEvent, WorkerPool } from './worker-pool.ts';
import type { WorkerTime } from './worker-times.ts';

export interface OpenWorkersOptions {
  readonly settings: WorkerSettings;
  /** Blob folder of the local workers; blobs that already lie there are not sent. */
  readonly blobDir: string;
  /** Class of a job that goes on; null: the first worker decides. */
  readonly deviceClass?: DeviceClass | null;
  /** Local workers of these settings that start already; the result ends them. Left out: they are forked now. */
  readonly forked?: ForkedWorkers;
  readonly onEvent?: (event: WorkerEvent) => void;
  readonly signal?: AbortSignal;
  readonly graceMs?: number;
}

export interface Workers {
  readonly deviceClass: DeviceClass;
  /** Workers that can be used now. */
  readonly count: number;
  /** Over how many of them one sub-layer of tuning is best cut; left out: over all. */
  readonly tuningSpread?: number;
  /** Memory of the smallest of them that the engine may use. */
  readonly memoryBytes: number;
  /** What each worker has done of the job in this run; left out: not counted. */
  readonly workerTimes?: readonly WorkerTime[];
  /** See `JobTasks.bring`; left out: blobs come with the tasks that name them. */
  bring?(blobs: readonly BlobSource[]): void;
  /** See `Scheduler.runTasks`. */
  runTasks(tasks: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]>;
  /** See `JobTasks.rest`; left out: there are no other jobs. */
  rest?(): void;
  /** Ends connections and the local workers. */
  close(): Promise<void>;
}

/** Starts the local workers and connects to all. @throws EspalierError what a local worker said that did not start,
 * "tls" when the certificates cannot be used, "no_workers" when no worker can be reached. */
export async function openWorkers(options: OpenWorkersOptions): Promise<Workers> {
  const releases = new Releases();
  try {
    return await open(options, releases);
  } catch (caught) {
    await releases.run();
    throw caught;
  }
}

async function open(options: OpenWorkersOptions, releases: Releases): Promise<Workers> {
  const { settings, signal } = options;
  const forked = options.forked ?? new ForkedWorkers(options);
  releases.add(() => forked.close());
  const tls = settings.tls ? await openTls(settings.tls, options.onEvent) : null;
  releases.add(() => tls?.close());
  const addresses = await forked.ready;
  const opened = new WorkerPool({
    ...options,
    addresses: [...addresses, ...settings.addresses],
    tlsFor: (address) => (settings.addresses.includes(address) ? tls : null),
  });
  releases.add(() => opened.close());
  forked.onExit((address, reason) => opened.remove(address, reason));
  const scheduler = new Scheduler(opened);
  releases.add(() => scheduler.close());
  await opened.ready(signal);
  return {
    get deviceClass() {
      // Known since the first worker joined, which `ready` waited for.
      return opened.deviceClass!;
    },
    get count() {
      return opened.workers.length;
    },
    get memoryBytes() {
      return Math.min(...opened.workers.map(({ memoryBytes }) => memoryBytes));
    },
    get tuningSpread() {
      return scheduler.tuningSpread;
    },
    get workerTimes() {
      return scheduler.workerTimes;
    },
    bring: (blobs) => scheduler.bring(blobs),
    runTasks: (tasks, run) => scheduler.runTasks(tasks, run),
    close: () => releases.run(),
  };
}

function openTls(files: TlsFiles, onEvent: OpenWorkersOptions['onEvent']): Promise<Tls> {
  const onProblem = (error: EspalierError) =>
    onEvent?.({ kind: 'notice', text: `certificate not renewed: ${error.line}` });
  return Tls.open(files, 'coordinator', { onProblem });
}
