// The metrics of a worker. The methods are those of its observer (worker/worker-observer.ts).
import { Counter, Gauge, Histogram } from 'prom-client';
import { BusyMeter } from './busy-meter.ts';
import { type BuildInfo, DURATION_BUCKETS, ProcessMetrics, TASK_KINDS, taskKindLabel } from './process-metrics.ts';

/** refused: there was no place, or the worker was ending. */
const OUTCOMES = ['done', 'failed', 'refused', 'cancelled'] as const;
const CACHE_RESULTS = ['hit', 'miss'] as const;
/** received: blobs, from coordinators or the object store; sent: results. */
const DIRECTIONS = ['received', 'sent'] as const;

/** What is so now; null: not known yet. Each function is cheap and never throws; one that is left out has no metric. */
export interface WorkerSources {
  /** Tasks that it has: computing, waiting or sending. */
  readonly tasks?: () => number | null;
  /** Bytes in the blob cache and how many it may hold. */
  readonly cache?: () => { readonly bytes: number; readonly limitBytes: number } | null;
  /** The most memory that has been in use on its GPU; null: not known, or no GPU. */
  readonly gpuMemoryPeakBytes?: () => number | null;
  readonly busConnected?: () => boolean;
}

export class WorkerMetrics extends ProcessMetrics {
  readonly #busy = new BusyMeter();
  readonly #taskSeconds: Histogram<'kind'>;
  readonly #tasks: Counter<'outcome'>;
  readonly #bytes: Counter<'direction'>;
  readonly #cache: Counter<'result'>;

  constructor(build: BuildInfo, sources: WorkerSources = {}) {
    super(build);
    const registers = [this.registry];
    const busy = this.#busy;
    this.#taskSeconds = new Histogram({
      name: 'espalier_task_duration_seconds',
      help: 'Seconds that a task computed, without waiting for its turn and without sending its result.',
      labelNames: ['kind'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    this.#tasks = new Counter({
      name: 'espalier_worker_tasks_total',
      help: 'Tasks that were asked for and ended, by how.',
      labelNames: ['outcome'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'espalier_bytes_total',
      help: 'Bytes of blobs that this worker received, from coordinators or the object store, and of results that it sent.',
      labelNames: ['direction'],
      registers,
    });
    this.#cache = new Counter({
      name: 'espalier_cache_requests_total',
      help: 'Blobs that tasks named: in the cache (hit), or to be brought (miss).',
      labelNames: ['result'],
      registers,
    });
    new Gauge({
      name: 'espalier_worker_busy_ratio',
      help: 'Share of the last minute in which a task computed, 0 to 1.',
      registers,
      collect() {
        this.set(busy.ratio());
      },
    });
    // There from the start: a series that comes with its first event hides that event from rates.
    for (const kind of TASK_KINDS) this.#taskSeconds.zero({ kind });
    for (const outcome of OUTCOMES) this.#tasks.inc({ outcome }, 0);
    for (const direction of DIRECTIONS) this.#bytes.inc({ direction }, 0);
    for (const result of CACHE_RESULTS) this.#cache.inc({ result }, 0);
    this.#showSources(sources);
  }

  /** A task begins to compute. The returned function is called when it has, once.
   * @param kind field of the request that holds it: "fisher", "normal_equations". */
  taskStarted(kind: string): () => void {
    const end = this.#busy.begin();
    const startedAt = performance.now();
    return () => {
      end();
      this.#taskSeconds.observe({ kind: taskKindLabel(kind) }, (performance.now() - startedAt) / 1000);
    };
  }

  taskEnded(outcome: (typeof OUTCOMES)[number]): void {
    this.#tasks.inc({ outcome });
  }

  addBytes(direction: (typeof DIRECTIONS)[number], bytes: number): void {
    this.#bytes.inc({ direction }, bytes);
  }

  cacheRequested(result: (typeof CACHE_RESULTS)[number], count = 1): void {
    this.#cache.inc({ result }, count);
  }

  #showSources({ tasks, cache, gpuMemoryPeakBytes, busConnected }: WorkerSources): void {
    this.show('espalier_worker_tasks', 'Tasks that compute, wait or send their result.', tasks);
    this.show('espalier_cache_bytes', 'Bytes in the blob cache.', cache && (() => cache()?.bytes ?? null));
    this.show(
      'espalier_cache_limit_bytes',
      'Bytes that the blob cache may hold.',
      cache && (() => cache()?.limitBytes ?? null),
    );
    this.show(
      'espalier_gpu_memory_peak_bytes',
      'The most memory that has been in use on the GPU of this worker, in bytes.',
      gpuMemoryPeakBytes,
    );
    this.show(
      'espalier_bus_connected',
      '1 while there is a connection to NATS, else 0.',
      busConnected && (() => Number(busConnected())),
    );
  }
}
