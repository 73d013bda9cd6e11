// The local workers of a job from its first moment on: they start while the job still reads its inputs, which takes about as
// long.
//
// starting (from the constructor on) → ready, or failed → closed. Whoever made them closes them, in whatever state they are.
import { availableParallelism, freemem } from 'node:os';
import { visibleGpus } from '../../shared/visible-gpus.ts';
import type { WorkerSettings } from '../prune-settings.ts';
import { LocalCluster, type LocalClusterOptions, type ModelFiles } from './local-cluster.ts';

/** Of the memory that is free at the start, for all local workers together. */
const MEMORY_SHARE = 0.5;
const LEAST_MEMORY_BYTES = 2e8;
/** What a CPU worker should have: TensorFlow, a model and the hidden states of its shards. */
const USUAL_MEMORY_BYTES = 1e9;

export interface ForkOptions {
  readonly settings: WorkerSettings;
  /** Blob folder that they share with the command. */
  readonly blobDir: string;
  readonly signal?: AbortSignal;
}

type ExitListener = (address: string, reason: string) => void;

export class ForkedWorkers {
  /** Resolves with their addresses when all of them serve. @throws EspalierError as LocalCluster.start. */
  readonly ready: Promise<readonly string[]>;
  readonly #cluster: Promise<LocalCluster>;
  readonly #closing = new AbortController();
  /** Of those that ended before anybody listened. */
  readonly #gone: Parameters<ExitListener>[] = [];
  #listener: ExitListener | null = null;

  constructor({ settings, blobDir, signal }: ForkOptions) {
    this.#cluster = LocalCluster.start({
      ...planLocal(settings),
      blobDir,
      device: settings.device,
      ...(settings.kernels !== undefined && { kernels: settings.kernels }),
      onExit: (address, reason) => {
        if (this.#listener === null) this.#gone.push([address, reason]);
        else this.#listener(address, reason);
      },
      signal: AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]),
    });
    this.ready = this.#cluster.then(({ addresses }) => addresses);
    // Asked for later, or never where the inputs are wrong.
    this.ready.catch(() => {});
  }

  /** Told once for each worker that ends before `close`, those included that have ended by now. */
  onExit(listener: ExitListener): void {
    this.#listener = listener;
    for (const [address, reason] of this.#gone.splice(0)) listener(address, reason);
  }

  /** Has them load a model that tasks will ask for, as soon as they serve. */
  load(model: ModelFiles): void {
    this.#cluster.then(
      (cluster) => cluster.load(model),
      // Told by `ready`.
      () => {},
    );
  }

  /** Ends them: at once where they are still starting, or where `graceMs` is 0. Harmless when called again. */
  async close(options?: { readonly graceMs?: number }): Promise<void> {
    this.#closing.abort();
    const cluster = await this.#cluster.catch(() => null);
    await cluster?.close(options);
  }
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
