// The metrics of a coordinator. What happens is counted by the methods, which are those of the listener of its fleet
// (coordinator/workers/fleet-listener.ts) among others; what is so at the moment is asked of `sources` with every scrape.
import { Counter, Gauge, Histogram } from 'prom-client';
import { ERROR_CODES, type ErrorCode } from '../errors.ts';
import { type BuildInfo, DURATION_BUCKETS, ProcessMetrics, TASK_KINDS, taskKindLabel } from './process-metrics.ts';

export const JOB_STATES = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type JobStateLabel = (typeof JOB_STATES)[number];

export const STAGES = [
  'load',
  'profile',
  'fisher',
  'gradients',
  'search',
  'rearrange',
  'tune',
  'refit',
  'divergence',
  'export',
  'evaluate',
  'latency',
] as const;
export type StageLabel = (typeof STAGES)[number];

/** Why a task was sent again: the codes of failures that pass, and "slow" for one that was sent to a second worker. Any
 * other shows as "other". */
const RETRY_REASONS = [
  ...(Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => ERROR_CODES[code].retryable),
  'cancelled',
  'slow',
  'other',
];

/** What forward passes of dense and pruned models are timed in. */
export const SPEED_RUNTIMES = ['onnxruntime', 'engine'] as const;
export type SpeedRuntimeLabel = (typeof SPEED_RUNTIMES)[number];

/** What one pruned model lost and gained, by its report. */
export interface PrunedModel {
  /** Quality of the dense model less that of the pruned one, in [-1, 1]; null: not measured. */
  readonly accuracyDrop: number | null;
  /** MACs of its encoder by those of the dense one, in [0, 1]; null: not told. */
  readonly macsKept: number | null;
  /** Median seconds of the dense model's forward pass by the pruned one's; runtimes that did not measure are left out. */
  readonly speedups: ReadonlyMap<SpeedRuntimeLabel, number>;
}

/** What is so now; null: not known yet. Each function is cheap and never throws; one that is left out has no metric. */
export interface CoordinatorSources {
  /** All jobs of the store, whoever runs them. */
  readonly jobs?: () => Readonly<Record<JobStateLabel, number>> | null;
  /** Age of the queued job that has waited longest, in seconds; 0: none is queued. */
  readonly oldestQueuedSeconds?: () => number | null;
  /** Jobs that this coordinator runs. */
  readonly ownJobs?: () => number | null;
  readonly tasksPending?: () => number | null;
  /** Of all coordinators. */
  readonly clusterTasksPending?: () => number | null;
  readonly workers?: () => number | null;
  /** Tasks of tuning that went out together with another worker's states, since the start. */
  readonly handOvers?: () => number;
  /** Bytes in the object store and how many it may hold. */
  readonly store?: () => { readonly bytes: number; readonly limitBytes: number } | null;
  readonly busConnected?: () => boolean;
}

const DROP_BUCKETS = [-0.02, -0.01, 0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1];
const SPEEDUP_BUCKETS = [0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 6, 10];
const MACS_BUCKETS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const JOB_BUCKETS = [1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 43_200];

export class CoordinatorMetrics extends ProcessMetrics {
  readonly #jobs: Counter<'state'>;
  readonly #jobSeconds: Histogram;
  readonly #stageSeconds: Histogram<'stage'>;
  readonly #taskSeconds: Histogram<'kind'>;
  readonly #taskRetries: Counter<'reason'>;
  readonly #bytes: Counter<'direction'>;
  readonly #accuracyDrop: Histogram;
  readonly #macsKept: Histogram;
  readonly #speedup: Histogram<'runtime'>;
  readonly #leasesLost: Counter;
  readonly #takeOvers: Counter;
  readonly #reconnects: Counter;
  readonly #apiCalls: Counter<'method' | 'status'>;

  constructor(build: BuildInfo, sources: CoordinatorSources = {}) {
    super(build);
    const registers = [this.registry];
    this.#jobs = new Counter({
      name: 'espalier_jobs_total',
      help: 'Changes of state that this coordinator made: jobs submitted or handed back (queued), claimed (running), ended.',
      labelNames: ['state'],
      registers,
    });
    this.#jobSeconds = new Histogram({
      name: 'espalier_job_duration_seconds',
      help: 'Seconds from the first claim of a job to its end as done.',
      buckets: JOB_BUCKETS,
      registers,
    });
    this.#stageSeconds = new Histogram({
      name: 'espalier_stage_duration_seconds',
      help: 'Seconds that a stage of a job took; stages that were taken from the store do not count.',
      labelNames: ['stage'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    this.#taskSeconds = new Histogram({
      name: 'espalier_task_round_trip_seconds',
      help: 'Seconds from when the worker of a task could begin with it to the last byte of its result.',
      labelNames: ['kind'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    this.#taskRetries = new Counter({
      name: 'espalier_task_retries_total',
      help: 'Tasks that were sent once more, by reason.',
      labelNames: ['reason'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'espalier_bytes_total',
      help: 'Bytes of blobs and results that came in from workers, clients and the object store, and that went out.',
      labelNames: ['direction'],
      registers,
    });
    this.#accuracyDrop = new Histogram({
      name: 'espalier_accuracy_drop_ratio',
      help: 'Quality of the dense model less that of a pruned one, as a ratio of 1; below 0 where pruning helped.',
      buckets: DROP_BUCKETS,
      registers,
    });
    this.#macsKept = new Histogram({
      name: 'espalier_macs_kept_ratio',
      help: "Multiply-accumulates of a pruned model's encoder, as a ratio of the dense one's.",
      buckets: MACS_BUCKETS,
      registers,
    });
    this.#speedup = new Histogram({
      name: 'espalier_speedup_ratio',
      help: "Median time of the dense model's forward pass by a pruned one's, by what they were timed in; above 1: faster.",
      labelNames: ['runtime'],
      buckets: SPEEDUP_BUCKETS,
      registers,
    });
    this.#leasesLost = new Counter({
      name: 'espalier_leases_lost_total',
      help: 'Jobs that another coordinator took from this one while it ran them.',
      registers,
    });
    this.#takeOvers = new Counter({
      name: 'espalier_jobs_taken_over_total',
      help: 'Jobs that this coordinator took from one whose lease had lapsed.',
      registers,
    });
    this.#reconnects = new Counter({
      name: 'espalier_bus_reconnects_total',
      help: 'Times that the connection to NATS came back.',
      registers,
    });
    this.#apiCalls = new Counter({
      name: 'espalier_api_calls_total',
      help: 'Calls of the job API that ended, by method and gRPC status.',
      labelNames: ['method', 'status'],
      registers,
    });
    // There from the start: a series that comes with its first event hides that event from rates.
    for (const state of JOB_STATES) this.#jobs.inc({ state }, 0);
    for (const stage of STAGES) this.#stageSeconds.zero({ stage });
    for (const kind of TASK_KINDS) this.#taskSeconds.zero({ kind });
    for (const runtime of SPEED_RUNTIMES) this.#speedup.zero({ runtime });
    for (const reason of RETRY_REASONS) this.#taskRetries.inc({ reason }, 0);
    for (const direction of ['in', 'out']) this.#bytes.inc({ direction }, 0);
    this.#showSources(sources);
  }

  jobEntered(state: JobStateLabel): void {
    this.#jobs.inc({ state });
  }

  jobDone(seconds: number): void {
    this.#jobSeconds.observe(seconds);
  }

  stageFinished(stage: StageLabel, seconds: number): void {
    this.#stageSeconds.observe({ stage }, seconds);
  }

  /** @param kind field of the request that holds the task: "fisher", "normal_equations". */
  taskDone(kind: string, seconds: number): void {
    this.#taskSeconds.observe({ kind: taskKindLabel(kind) }, seconds);
  }

  taskRetried(_kind: string, reason: string): void {
    this.#taskRetries.inc({ reason: RETRY_REASONS.includes(reason) ? reason : 'other' });
  }

  /** Payload between this coordinator and workers, the object store, and clients. */
  bytes(direction: 'in' | 'out', count: number): void {
    this.#bytes.inc({ direction }, count);
  }

  /** A job is done with this model. */
  modelPruned({ accuracyDrop, macsKept, speedups }: PrunedModel): void {
    if (accuracyDrop !== null) this.#accuracyDrop.observe(accuracyDrop);
    if (macsKept !== null) this.#macsKept.observe(macsKept);
    for (const [runtime, ratio] of speedups) this.#speedup.observe({ runtime }, ratio);
  }

  leaseLost(): void {
    this.#leasesLost.inc();
  }

  jobTakenOver(): void {
    this.#takeOvers.inc();
  }

  busReconnected(): void {
    this.#reconnects.inc();
  }

  /** @param method of the protocol, "Submit"; @param status name of a gRPC status, "OK". */
  apiCallEnded(method: string, status: string): void {
    this.#apiCalls.inc({ method, status });
  }

  #showSources(sources: CoordinatorSources): void {
    const { jobs, store, busConnected } = sources;
    this.show(
      'espalier_cluster_tasks_pending',
      'Tasks that wait for a worker, of all coordinators.',
      sources.clusterTasksPending,
    );
    this.show(
      'espalier_tasks_pending',
      'Tasks that wait for a worker, of the jobs that this coordinator runs.',
      sources.tasksPending,
    );
    this.show('espalier_workers', 'Workers that can be used now.', sources.workers);
    this.show('espalier_jobs_owned', 'Jobs that this coordinator runs.', sources.ownJobs);
    this.show(
      'espalier_queue_oldest_age_seconds',
      'Age of the queued job that has waited longest, in seconds; 0: none.',
      sources.oldestQueuedSeconds,
    );
    this.show(
      'espalier_bus_connected',
      '1 while there is a connection to NATS, else 0.',
      busConnected && (() => Number(busConnected())),
    );
    this.show('espalier_store_bytes', 'Bytes in the object store.', store && (() => store()?.bytes ?? null));
    this.show(
      'espalier_store_limit_bytes',
      'Bytes that the object store may hold.',
      store && (() => store()?.limitBytes ?? null),
    );
    const { handOvers } = sources;
    if (handOvers !== undefined)
      new Counter({
        name: 'espalier_tuning_hand_overs_total',
        help: 'Tasks of tuning that went to another worker together with the states of the one before.',
        registers: [this.registry],
        collect() {
          this.reset();
          this.inc(handOvers());
        },
      });
    if (jobs === undefined) return;
    new Gauge({
      name: 'espalier_jobs_in_state',
      help: 'Jobs in the store by state, whoever runs them.',
      labelNames: ['state'],
      registers: [this.registry],
      collect() {
        const counts = jobs();
        for (const state of JOB_STATES) if (counts !== null) this.set({ state }, counts[state]);
      },
    });
  }
}
