// Hands the tasks of all jobs to workers until all are done. Since a task gives the same bits wherever and however often
// it runs, losing a worker costs time only, and what is slow may be run twice.
//
// Each job has a home of workers (allocation.ts). A worker takes, by priority and then in turn between jobs: tasks that
// are at home there, and tasks that failed elsewhere. When it idles it takes what others would do later: first tasks that
// need no state, then its own jobs' longest queue, then tasks of other homes that have waited for long, and last what
// another worker is slow with, a second time.
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
import { slowAttempts } from './slow-attempts.ts';
import { type RunOptions, type Task, TaskRun } from './task-run.ts';
import { kindOf, type TaskResult, type TaskSpec } from './task-spec.ts';
import { Timers } from './timers.ts';
import { Trust } from './trust.ts';
import { FoldCost } from './tuning-spread.ts';
import type { WorkerSlot } from './worker-slot.ts';
import { WorkerSlots } from './worker-slots.ts';
import type { WorkerSource } from './worker-source.ts';

/** How often idle workers look for what others are slow with. */
const IDLE_LOOK_MS = 100;

/** A task with states elsewhere waits at least this long for its home before another's worker computes them anew. */
const STATE_WAIT_MS = 500;

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
  runTasks(tasks: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]>;
  /** Fails what still runs, and gives the home back. */
  leave(reason?: EspalierError): void;
}

export class Scheduler {
  readonly #source: WorkerSource;
  readonly #unsubscribe: () => void;
  readonly #clock: Clock;
  readonly #listener: FleetListener;
  readonly #others: OthersLoad;
  readonly #foldCost = new FoldCost();
  readonly #slots = new WorkerSlots();
  readonly #scopes = new DeviceScopes();
  readonly #jobs = new ScheduledJobs(this.#scopes);
  readonly #timers: Timers;
  readonly #homes: Homes;
  readonly #attempts: Attempts;
  #alone: JobTasks | null = null;
  #stopLooking: (() => void) | null = null;
  #isPumpDue = false;

  constructor(source: WorkerSource, options: SchedulerOptions = {}) {
    this.#source = source;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#listener = options.listener ?? SILENT_LISTENER;
    this.#others = options.others ?? NO_OTHERS;
    this.#timers = new Timers(this.#clock);
    const slots = this.#slots;
    const jobs = this.#jobs;
    const clock = this.#clock;
    const timers = this.#timers;
    const homes = new Homes({ slots, jobs, clock, others: this.#others, onHomes: options.onHomes ?? (() => {}) });
    const trust = new Trust({ slots, homes, timers, clock, onBack: () => this.#pump() });
    this.#homes = homes;
    this.#attempts = new Attempts({
      ...{ slots, jobs, trust, clock },
      listener: this.#listener,
      onEnd: () => this.#pumpSoon(),
    });
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
  get load(): OwnLoad {
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
      runTasks: (tasks, options) => this.#run(joined, tasks, options),
      leave: (reason = new EspalierError('cancelled', 'the job has left the workers')) => this.#leave(joined, reason),
    };
  }

  /** Runs all tasks of the one job of this scheduler and returns their results in the same order. Several runs may go on
   * at once. @throws EspalierError of the first task that failed for good; the others are cancelled. "no_workers" when the
   * source is exhausted, "cancelled" when the signal aborts. */
  runTasks(tasks: readonly TaskSpec[], options?: RunOptions): Promise<TaskResult[]> {
    this.#alone ??= this.join({ id: '', priority: 0, deviceClass: null, models: [] });
    return this.#alone.runTasks(tasks, options);
  }

  /** Stops watching the source; runs that have tasks waiting fail. */
  close(): void {
    this.#unsubscribe();
    this.#stopLooking?.();
    this.#stopLooking = null;
    this.#timers.close();
    this.#jobs.failWaiting(new EspalierError('cancelled', 'the scheduler is closed'));
  }

  async #run(job: ScheduledJob, tasks: readonly TaskSpec[], options: RunOptions = {}): Promise<TaskResult[]> {
    if (!this.#jobs.has(job)) throw new EspalierError('cancelled', 'the job has left the workers');
    const run = new TaskRun(tasks.length, options.onDone);
    job.runs.add(run);
    const abort = () => this.#jobs.fail(run, interrupted(options.signal?.reason));
    options.signal?.addEventListener('abort', abort, { once: true });
    const waitingSinceMs = this.#clock.now();
    job.spread.began(tasks, job.home.length, waitingSinceMs);
    tasks.forEach((spec, index) => {
      const tries = { failures: 0, failedOn: new Set<string>(), avoid: null, isDone: false };
      job.waiting.push({ spec, index, run, job, attempts: new Set(), waitingSinceMs, ...tries });
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

  /** Sends what can be sent now: to the emptiest workers first, then to idle ones what waits for others. */
  #pump(): void {
    const { exhausted } = this.#source;
    if (exhausted !== null) this.#jobs.failWaiting(exhausted);
    const now = this.#clock.now();
    for (let sent = true; sent; ) {
      const jobs = this.#jobs.waiting;
      if (jobs.length === 0) break;
      const open = this.#slots.open(now);
      open.sort((a, b) => a.inFlight.size - b.inFlight.size);
      sent = open.some((slot) => this.#sendOwn(slot, jobs)) || open.some((slot) => this.#sendStolen(slot, jobs));
    }
    this.#watchIdle();
  }

  /** Sends the task that has its turn here. */
  #sendOwn(slot: WorkerSlot, jobs: readonly ScheduledJob[]): boolean {
    let found: Task | undefined;
    let foundTurn = 0;
    for (const job of jobs) {
      if (found !== undefined && job.priority < found.job.priority) break;
      const turn = slot.servedTurn.get(job) ?? -1;
      if (!job.accepts(slot) || (found !== undefined && turn >= foundTurn)) continue;
      const task = job.nextFor(slot, () => this.#slots.hasOther(slot, this.#clock.now()));
      if (task === undefined) continue;
      found = task;
      foundTurn = turn;
    }
    return found !== undefined && this.#sendIfAllowed(found, slot, true);
  }

  /** Sends to an idle worker what would have its turn elsewhere later. */
  #sendStolen(slot: WorkerSlot, jobs: readonly ScheduledJob[]): boolean {
    // One that has jobs of others idles only as far as is seen from here.
    if (slot.inFlight.size > 0 || this.#others.homesAt(slot.address) > 0) return false;
    const accepted = jobs.filter((job) => job.accepts(slot));
    for (const job of accepted) {
      const task = job.lastStateless();
      if (task !== undefined && this.#sendIfAllowed(task, slot, false)) return true;
    }
    for (const job of accepted) {
      const isHome = job.home.includes(slot);
      const task = job.lastOfLongestQueue();
      if (task === undefined || (!isHome && this.#clock.now() - task.waitingSinceMs < STATE_WAIT_MS)) continue;
      if (!this.#sendIfAllowed(task, slot, false)) continue;
      // The thief has the key's newest state now, unless its owner goes on with other tasks of it.
      const key = task.spec.affinity!;
      if (isHome && !this.#isWanted(job, key, slot)) job.placement.move(key, slot.address);
      return true;
    }
    return false;
  }

  #isWanted(job: ScheduledJob, key: string, except: WorkerSlot): boolean {
    if (job.waiting.some(({ spec }) => spec.affinity === key)) return true;
    return [...this.#slots].some(
      (slot) =>
        slot !== except && [...slot.inFlight].some(({ task }) => task.job === job && task.spec.affinity === key),
    );
  }

  #sendIfAllowed(task: Task, slot: WorkerSlot, mayReserve: boolean): boolean {
    if (!this.#scopes.mayBegin(task, slot, this.#slots, mayReserve)) return false;
    task.job.waiting.splice(task.job.waiting.indexOf(task), 1);
    this.#attempts.begin(task, slot);
    return true;
  }

  /** Looks again in a while where a worker idles and others do not. */
  #watchIdle(): void {
    if (this.#stopLooking !== null) return;
    const slots = [...this.#slots];
    const now = this.#clock.now();
    const someIdle = slots.some((slot) => slot.inFlight.size === 0 && slot.isOpen(now));
    if (!someIdle || !slots.some(({ inFlight }) => inFlight.size > 0)) return;
    this.#stopLooking = this.#clock.after(IDLE_LOOK_MS, () => {
      this.#stopLooking = null;
      this.#pump();
      this.#repeatSlow();
    });
  }

  /** Gives each idle worker one task that another is slow with. */
  #repeatSlow(): void {
    const now = this.#clock.now();
    const slots = [...this.#slots];
    for (const { task, slot: from } of slowAttempts(slots, now)) {
      const idle = slots.find(
        (slot) =>
          slot !== from &&
          slot.inFlight.size === 0 &&
          this.#others.homesAt(slot.address) === 0 &&
          slot.isOpen(now) &&
          task.job.accepts(slot) &&
          this.#scopes.mayBegin(task, slot, slots, false),
      );
      if (idle === undefined) continue;
      this.#listener.taskRetried(kindOf(task.spec), 'slow');
      this.#attempts.begin(task, idle);
    }
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
