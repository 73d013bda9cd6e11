// Hands the tasks of all jobs to workers until all are done. Since a task gives the same bits wherever and however often
// it runs, losing a worker costs time only, and what is slow may be run twice.
//
// This file is what jobs and workers see of it, and puts the parts together: homes.ts says which workers a job has, turns.ts
// which task is next where, attempts.ts what becomes of a try, trust.ts which workers are left alone for a while, and
// stragglers.ts what runs a second time (docs/adr/0014-fleet-scheduling.md).
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { Attempts } from './attempts.ts';
import { type Clock, SYSTEM_CLOCK } from './clock.ts';
import { describeClass } from './device-class.ts';
import { DeviceScopes } from './device-scopes.ts';
import { type FleetListener, SILENT_LISTENER } from './fleet-listener.ts';
import { Homes } from './homes.ts';
import type { OwnLoad } from './load-exchange.ts';
import { NO_OTHERS, type OthersLoad } from './other-loads.ts';
import { type JobToSchedule, ScheduledJob } from './scheduled-job.ts';
import { ScheduledJobs } from './scheduled-jobs.ts';
import { Stragglers } from './stragglers.ts';
import { type RunOptions, type Task, TaskRun } from './task-run.ts';
import { sentWith, type TaskResult, type TaskSpec } from './task-spec.ts';
import { Timers } from './timers.ts';
import { Trust } from './trust.ts';
import { FoldCost } from './tuning-spread.ts';
import { Turns } from './turns.ts';
import type { WorkerSlot } from './worker-slot.ts';
import { WorkerSlots } from './worker-slots.ts';
import type { WorkerSource } from './worker-source.ts';
import type { WorkerTime } from './worker-times.ts';

export interface SchedulerOptions {
  readonly clock?: Clock;
  readonly listener?: FleetListener;
  /** Coordinators beside this one. */
  readonly others?: OthersLoad;
  /** Told when homes have changed. */
  readonly onHomes?: () => void;
}

/** One job's access to the workers. */
export interface JobTasks {
  /** Workers of its home. */
  readonly homeSize: number;
  /** Over how many of them the next sub-layer of tuning is best cut. */
  readonly tuningSpread: number;
  /** What each worker has done of it so far. */
  readonly workerTimes: readonly WorkerTime[];
  /** Begins to send to its home what the next tasks will name, while others run. What cannot be brought now comes with them. */
  bring(blobs: readonly BlobSource[]): void;
  runTasks(tasks: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]>;
  /** Lends the home to others until the next tasks. */
  rest(): void;
  /** Fails what still runs, and gives the home back. */
  leave(reason?: EspalierError): void;
}

export class Scheduler {
  readonly #source: WorkerSource;
  readonly #unsubscribe: () => void;
  readonly #clock: Clock;
  readonly #foldCost = new FoldCost();
  readonly #slots = new WorkerSlots();
  readonly #jobs: ScheduledJobs;
  readonly #timers: Timers;
  readonly #homes: Homes;
  readonly #attempts: Attempts;
  readonly #turns: Turns;
  readonly #stragglers: Stragglers;
  #alone: JobTasks | null = null;
  #isPumpDue = false;

  constructor(source: WorkerSource, options: SchedulerOptions = {}) {
    const { clock = SYSTEM_CLOCK, listener = SILENT_LISTENER, others = NO_OTHERS, onHomes = () => {} } = options;
    const pump = () => this.#pump();
    const slots = this.#slots;
    const scopes = new DeviceScopes();
    const jobs = new ScheduledJobs(scopes);
    const timers = new Timers(clock);
    const homes = new Homes({ slots, jobs, others, clock, onHomes });
    const trust = new Trust({ slots, homes, timers, clock, onBack: pump });
    const attempts = new Attempts({ slots, jobs, trust, clock, listener, onEnd: () => this.#pumpSoon() });
    const begin = (task: Task, slot: WorkerSlot) => attempts.begin(task, slot);
    this.#turns = new Turns({ slots, jobs, scopes, others, clock, begin });
    this.#stragglers = new Stragglers({ slots, scopes, others, clock, listener, begin, onLook: pump });
    this.#source = source;
    this.#clock = clock;
    this.#jobs = jobs;
    this.#timers = timers;
    this.#homes = homes;
    this.#attempts = attempts;
    this.#unsubscribe = source.subscribe(() => this.#sourceChanged());
    this.#sourceChanged();
  }

  /** Tasks that wait, of all jobs. */
  get pendingTasks(): number {
    return this.#jobs.pendingTasks;
  }

  get busyRatios(): { address: string; busyRatio: number }[] {
    const now = this.#clock.now();
    return [...this.#slots].map((slot) => ({ address: slot.address, busyRatio: slot.busyRatio(now) }));
  }

  get handOvers(): number {
    return this.#attempts.handOvers;
  }

  /** Jobs by class, and how many have each worker as a home. */
  get load(): Pick<OwnLoad, 'jobs' | 'homes'> {
    return this.#homes.load;
  }

  /** Other coordinators have more to do, or less. */
  othersChanged(): void {
    this.#homes.allocate();
    this.#pump();
  }

  /** Jobs of a class that share its workers now. */
  jobsOf(deviceClass: DeviceClass): number {
    return this.#homes.jobsOf(deviceClass);
  }

  /** Gives a job a home. */
  join(job: JobToSchedule): JobTasks {
    const joined = new ScheduledJob(
      job,
      job.deviceClass === null ? null : describeClass(job.deviceClass),
      this.#foldCost,
    );
    this.#jobs.add(joined);
    this.#homes.allocate();
    return {
      get homeSize() {
        return joined.home.length;
      },
      get tuningSpread() {
        return joined.spread.workers(joined.home.length);
      },
      get workerTimes() {
        return joined.times.all;
      },
      bring(blobs) {
        for (const { worker } of joined.home) worker.uploader.ensure(sentWith(blobs)).catch(() => {});
      },
      runTasks: (tasks, options) => this.#run(joined, tasks, options),
      rest: () => this.#rest(joined, true),
      leave: (reason = new EspalierError('cancelled', 'the job has left the workers')) => this.#leave(joined, reason),
    };
  }

  /** Of the one job of this scheduler: over how many workers its next sub-layer of tuning is best cut. */
  get tuningSpread(): number {
    return this.#onlyJob.tuningSpread;
  }

  /** Runs all tasks of the one job of this scheduler and returns their results in the same order. Several runs may go on
   * at once. @throws EspalierError of the first task that failed for good; the others are cancelled. "no_workers" when the
   * source is exhausted, "cancelled" when the signal aborts. */
  runTasks(tasks: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]> {
    return this.#onlyJob.runTasks(tasks, options);
  }

  /** See `JobTasks.bring`, of the one job of this scheduler. */
  bring(blobs: readonly BlobSource[]): void {
    this.#onlyJob.bring(blobs);
  }

  /** Of the one job of this scheduler. */
  get workerTimes(): readonly WorkerTime[] {
    return this.#alone?.workerTimes ?? [];
  }

  /** Stops watching the source; runs that have tasks waiting fail. */
  close(): void {
    this.#unsubscribe();
    this.#stragglers.close();
    this.#timers.close();
    this.#jobs.failWaiting(new EspalierError('cancelled', 'the scheduler is closed'));
  }

  get #onlyJob(): JobTasks {
    this.#alone ??= this.join({ id: '', priority: 0, deviceClass: null, models: [] });
    return this.#alone;
  }

  async #run(job: ScheduledJob, tasks: readonly TaskSpec[], options: RunOptions = {}): Promise<TaskResult[]> {
    if (!this.#jobs.has(job)) throw new EspalierError('cancelled', 'the job has left the workers');
    this.#rest(job, false);
    const run = new TaskRun(tasks.length, options.onDone);
    job.runs.add(run);
    const abort = () => this.#jobs.fail(run, interrupted(options.signal?.reason));
    options.signal?.addEventListener('abort', abort, { once: true });
    const waitingSinceMs = this.#clock.now();
    job.spread.began(tasks, waitingSinceMs);
    tasks.forEach((spec, index) => {
      const tries = { failures: 0, failedOn: new Set<string>(), avoid: null, isDone: false };
      const missingOn = new Map<WorkerSlot, EspalierError>();
      job.waiting.push({ spec, index, run, job, attempts: new Set(), waitingSinceMs, missingOn, ...tries });
    });
    if (options.signal?.aborted) abort();
    else this.#pump();
    try {
      return await run.finished;
    } finally {
      job.runs.delete(run);
      options.signal?.removeEventListener('abort', abort);
    }
  }

  #rest(job: ScheduledJob, isResting: boolean): void {
    if (job.isResting === isResting || job.runs.size > 0 || !this.#jobs.has(job)) return;
    job.isResting = isResting;
    this.#homes.allocate();
    this.#pump();
  }

  #leave(job: ScheduledJob, reason: EspalierError): void {
    if (!this.#jobs.delete(job)) return;
    for (const run of [...job.runs]) this.#jobs.fail(run, reason);
    for (const slot of this.#slots) slot.servedTurn.delete(job);
    this.#homes.allocate();
    this.#pump();
  }

  #sourceChanged(): void {
    const gone = this.#slots.follow(this.#source.workers, this.#clock.now());
    for (const address of gone) for (const job of this.#jobs) job.placement.drop(address);
    this.#homes.allocate();
    this.#pump();
  }

  /** To be called after whatever may let a task be sent. */
  #pump(): void {
    const { exhausted } = this.#source;
    if (exhausted !== null) this.#jobs.failWaiting(exhausted);
    this.#jobs.failWhereMissing(this.#slots);
    this.#turns.send();
    this.#stragglers.watch();
  }

  /** Once for all tasks that end in the same turn of the event loop. */
  #pumpSoon(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }
}

function interrupted(reason: unknown): EspalierError {
  return reason instanceof EspalierError ? reason : new EspalierError('cancelled', 'interrupted', { cause: reason });
}
