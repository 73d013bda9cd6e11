// The workers of a job, from settings to an object that runs tasks: forked here, or running elsewhere, or both.
import { availableParallelism, freemem } from 'node:os';
import type { EspalierError } from '../../shared/errors.ts';
import { Releases } from '../../shared/lifecycle.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { Tls } from '../../shared/rpc/tls.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { visibleGpus } from '../../shared/visible-gpus.ts';
import type { WorkerSettings } from '../prune-settings.ts';
import { LocalCluster, type LocalClusterOptions } from './local-cluster.ts';
import { Scheduler } from './scheduler.ts';
import type { RunOptions } from './task-run.ts';
import type { TaskResult, TaskSpec } from './task-spec.ts';
import { type WorkerEvent, WorkerPool } from './worker-pool.ts';
import type { WorkerTime } from './worker-times.ts';

/** Of the memory that is free at the start, for all local workers together. */
const MEMORY_SHARE = 0.5;
const LEAST_MEMORY_BYTES = 2e8;
/** What a CPU worker should have: TensorFlow, a model and the hidden states of its shards. */
const USUAL_MEMORY_BYTES = 1e9;

export interface OpenWorkersOptions {
  readonly settings: WorkerSettings;
  /** Blob folder of the local workers; blobs that already lie there are not sent. */
  readonly blobDir: string;
  /** Class of a job that goes on; null: the first worker decides. */
  readonly deviceClass?: DeviceClass | null;
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
  /** See `Scheduler.runTasks`. */
  runTasks(tasks: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]>;
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
  const { settings, blobDir, signal } = options;
  const gone: [address: string, reason: string][] = [];
  let pool: WorkerPool | null = null;
  const onExit = (address: string, reason: string) => {
    if (pool === null) gone.push([address, reason]);
    else pool.remove(address, reason);
  };
  const tls = settings.tls ? await openTls(settings.tls, options.onEvent) : null;
  releases.add(() => tls?.close());
  const plan = planLocal(settings);
  const local = await LocalCluster.start({
    ...plan,
    blobDir,
    device: settings.device,
    ...(settings.kernels !== undefined && { kernels: settings.kernels }),
    onExit,
    ...(signal && { signal }),
  });
  releases.add(() => local.close());
  const opened = new WorkerPool({
    ...options,
    addresses: [...local.addresses, ...settings.addresses],
    tlsFor: (address) => (settings.addresses.includes(address) ? tls : null),
  });
  pool = opened;
  releases.add(() => opened.close());
  for (const [address, reason] of gone) opened.remove(address, reason);
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
    get workerTimes() {
      return scheduler.workerTimes;
    },
    runTasks: (tasks, run) => scheduler.runTasks(tasks, run),
    close: () => releases.run(),
  };
}

function openTls(files: TlsFiles, onEvent: OpenWorkersOptions['onEvent']): Promise<Tls> {
  const onProblem = (error: EspalierError) =>
    onEvent?.({ kind: 'notice', text: `certificate not renewed: ${error.line}` });
  return Tls.open(files, 'coordinator', { onProblem });
}

/** How many workers to fork, and what each of them sees: one a GPU where GPUs are used, else one a core. */
function planLocal({
  local,
  addresses,
  device,
}: WorkerSettings): Pick<LocalClusterOptions, 'count' | 'env' | 'memoryBytes'> {
  const gpus = device === 'cpu' ? [] : visibleGpus(process.env);
  // A CPU worker keeps a copy of the model: many cores with little memory get fewer of them.
  const fitting = Math.max(1, Math.floor((freemem() * MEMORY_SHARE) / USUAL_MEMORY_BYTES));
  const cpus = Math.min(availableParallelism(), fitting);
  const natural = gpus.length > 0 ? gpus.length : device === 'gpu' ? 1 : cpus;
  const count = local ?? (addresses.length > 0 ? 0 : natural);
  // A user's own setting reaches the workers through the environment; on a GPU its own memory is what counts.
  const isSet = process.env.ESPALIER_MEMORY_GB !== undefined || gpus.length > 0;
  const memoryBytes = Math.max(LEAST_MEMORY_BYTES, (freemem() * MEMORY_SHARE) / Math.max(1, count));
  return {
    count,
    ...(isSet ? {} : { memoryBytes }),
    ...(gpus.length > 0 && { env: (index: number) => ({ CUDA_VISIBLE_DEVICES: gpus[index % gpus.length] }) }),
  };
}
