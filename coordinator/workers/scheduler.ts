// Hands the tasks of all jobs to workers until all are done. Since a task gives the same bits wherever and however often
// it runs, losing a worker costs time only, and what is slow may be run twice.
//
// Each job has a home of workers (allocation.ts). A worker takes, by priority and then in turn between jobs: tasks that
// are at home there, and tasks that failed elsewhere. When it idles it takes what others would do later: first tasks that
// need no state, then its own jobs' longest queue, then tasks of other homes that have waited for long, and last what
// another worker is slow with, a second time.
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { saidByPeer } from '../../shared/rpc/status.ts';
import { allocateHomes } from './allocation.ts';
import { type Clock, SYSTEM_CLOCK } from './clock.ts';
import { describeClass } from './device-class.ts';
import { DeviceScopes } from './device-scopes.ts';
import { type FleetListener, SILENT_LISTENER } from './fleet-listener.ts';
import { HandOver, type HeldShards } from './hand-over.ts';
import type { OwnLoad } from './load-exchange.ts';
import { NO_OTHERS, type OthersLoad } from './other-loads.ts';
import { type JobToSchedule, ScheduledJob } from './scheduled-job.ts';
import { slowAttempts } from './slow-attempts.ts';
import { type Attempt, type RunOptions, type Task, TaskRun } from './task-run.ts';
import { kindOf, requestBytes, type TaskResult, type TaskSpec, tryTask } from './task-spec.ts';
import { FoldCost } from './tuning-spread.ts';
import { WorkerSlot } from './worker-slot.ts';
import type { WorkerSource } from './worker-source.ts';

const MAX_TRIES = 5;

/** Pause before a worker that serves other coordinators, too, and does not say when, is asked again. */
const BUSY_MS = 200;

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
  readonly #onHomes: () => void;
  readonly #handOver = new HandOver();
  readonly #foldCost = new FoldCost();
  readonly #slots = new Map<string, WorkerSlot>();
  readonly #jobs = new Set<ScheduledJob>();
  readonly #timers = new Set<() => void>();
  readonly #scopes = new DeviceScopes();
  #alone: JobTasks | null = null;
  #stopLooking: (() => void) | null = null;
  #isPumpDue = false;

  constructor(source: WorkerSource, options: SchedulerOptions = {}) {
    this.#source = source;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#listener = options.listener ?? SILENT_LISTENER;
    this.#others = options.others ?? NO_OTHERS;
    this.#onHomes = options.onHomes ?? (() => {});
    this.#unsubscribe = source.subscribe(() => this.#sourceChanged());
    this.#sourceChanged();
  }

  /** Tasks that wait, of all jobs. */
  get pendingTasks(): number {
    let count = 0;
    for (const { waiting } of this.#jobs) count += waiting.length;
    return count;
  }

  get busyRatios(): { address: string; busyRatio: number }[] {
    const now = this.#clock.now();
    return [...this.#slots.values()].map((slot) => ({ address: slot.address, busyRatio: slot.busyRatio(now) }));
  }

  get handOvers(): number {
    return this.#handOver.done;
  }

  /** Jobs by class, and how many have each worker as a home. */
  get load(): OwnLoad {
    const jobs = new Map<string, number>();
    const homes = new Map<string, number>();
    for (const { classKey, home } of this.#jobs) {
      if (classKey !== null) jobs.set(classKey, (jobs.get(classKey) ?? 0) + 1);
      for (const { address } of home) homes.set(address, (homes.get(address) ?? 0) + 1);
    }
    return { jobs: [...jobs], homes: [...homes] };
  }

  /** Other coordinators have more to do, or less. */
  othersChanged(): void {
    this.#allocate();
    this.#pump();
  }

  /** Jobs of a class that share its workers now. */
  jobsOf(deviceClass: DeviceClass): number {
    const key = describeClass(deviceClass);
    return [...this.#jobs].filter(({ classKey }) => classKey === key).length;
  }

  /** Gives a job a home. */
  join(job: JobToSchedule): JobTasks {
    const joined = new ScheduledJob(
      job,
      job.deviceClass === null ? null : describeClass(job.deviceClass),
      this.#foldCost,
    );
    this.#jobs.add(joined);
    this.#allocate();
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
    for (const stop of this.#timers) stop();
    this.#timers.clear();
    const closed = new EspalierError('cancelled', 'the scheduler is closed');
    for (const { waiting } of this.#jobs) for (const { run } of [...waiting]) this.#fail(run, closed);
  }

  async #run(job: ScheduledJob, tasks: readonly TaskSpec[], options: RunOptions = {}): Promise<TaskResult[]> {
    if (!this.#jobs.has(job)) throw new EspalierError('cancelled', 'the job has left the workers');
    const run = new TaskRun(tasks.length, options.onDone);
    job.runs.add(run);
    const abort = () => this.#fail(run, interrupted(options.signal?.reason));
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
    for (const run of [...job.runs]) this.#fail(run, reason);
    for (const slot of this.#slots.values()) slot.servedTurn.delete(job);
    this.#allocate();
    this.#pump();
  }

  #sourceChanged(): void {
    const now = this.#clock.now();
    const { workers } = this.#source;
    const present = new Set(workers);
    for (const [address, slot] of this.#slots) {
      if (present.has(slot.worker)) continue;
      // What it is running may still come through; if not, each of its calls fails by itself.
      this.#slots.delete(address);
      for (const job of this.#jobs) job.placement.drop(address);
    }
    for (const worker of workers)
      if (!this.#slots.has(worker.address)) this.#slots.set(worker.address, new WorkerSlot(worker, now));
    this.#allocate();
    this.#pump();
  }

  /** Gives every job its home of the workers that can be used now. */
  #allocate(): void {
    const now = this.#clock.now();
    const byClass = new Map<string | null, ScheduledJob[]>();
    for (const job of this.#jobs) byClass.set(job.classKey, [...(byClass.get(job.classKey) ?? []), job]);
    for (const [classKey, jobs] of byClass) {
      const slots = [...this.#slots.values()].filter((slot) => jobs[0].accepts(slot) && slot.isUsable(now));
      const homes = allocateHomes(
        slots.map(({ address, worker: { models } }) => ({
          ...{ id: address, models },
          ...{ others: this.#others.homesAt(address), mustYield: this.#others.mustYield(address) },
        })),
        jobs.map((job) => ({ ...job, home: job.home.map(({ address }) => address) })),
        classKey === null ? 0 : this.#others.jobsOf(classKey),
      );
      for (const job of jobs)
        job.moveTo(
          homes.get(job.id)!.map((address) => this.#slots.get(address)!),
          (slot) => this.#whyLost(slot, now),
        );
    }
    this.#onHomes();
  }

  /** Why a worker is no longer among those of a job. */
  #whyLost(slot: WorkerSlot, now: number): string {
    if (slot.worker.isLeaving) return 'it drains';
    if (this.#slots.get(slot.address) !== slot) return slot.worker.lostReason ?? 'it is gone';
    return slot.isUsable(now) ? 'it works for other jobs now' : 'it is set aside for a while';
  }

  /** Sends what can be sent now: to the emptiest workers first, then to idle ones what waits for others. */
  #pump(): void {
    const { exhausted } = this.#source;
    if (exhausted !== null)
      for (const job of this.#jobs) for (const { run } of [...job.waiting]) this.#fail(run, exhausted);
    const now = this.#clock.now();
    for (let sent = true; sent; ) {
      const jobs = this.#waitingJobs();
      if (jobs.length === 0) break;
      const open = [...this.#slots.values()].filter((slot) => slot.isOpen(now));
      open.sort((a, b) => a.inFlight.size - b.inFlight.size);
      sent = open.some((slot) => this.#sendOwn(slot, jobs)) || open.some((slot) => this.#sendStolen(slot, jobs));
    }
    this.#watchIdle();
  }

  #waitingJobs(): ScheduledJob[] {
    const jobs = [...this.#jobs].filter(({ waiting }) => waiting.length > 0);
    return jobs.sort((a, b) => b.priority - a.priority);
  }

  /** Sends the task that has its turn here. */
  #sendOwn(slot: WorkerSlot, jobs: readonly ScheduledJob[]): boolean {
    let found: Task | undefined;
    let foundTurn = 0;
    for (const job of jobs) {
      if (found !== undefined && job.priority < found.job.priority) break;
      const turn = slot.servedTurn.get(job) ?? -1;
      if (!job.accepts(slot) || (found !== undefined && turn >= foundTurn)) continue;
      const task = job.nextFor(slot, () => this.#hasOther(slot));
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
    return [...this.#slots.values()].some(
      (slot) =>
        slot !== except && [...slot.inFlight].some(({ task }) => task.job === job && task.spec.affinity === key),
    );
  }

  #hasOther(slot: WorkerSlot): boolean {
    const now = this.#clock.now();
    for (const other of this.#slots.values())
      if (other !== slot && other.classKey === slot.classKey && !other.worker.isLeaving && !other.isAside(now))
        return true;
    return false;
  }

  #sendIfAllowed(task: Task, slot: WorkerSlot, mayReserve: boolean): boolean {
    if (!this.#scopes.mayBegin(task, slot, this.#slots.values(), mayReserve)) return false;
    task.job.waiting.splice(task.job.waiting.indexOf(task), 1);
    this.#begin(task, slot);
    return true;
  }

  #begin(task: Task, slot: WorkerSlot): void {
    const attempt: Attempt = {
      task,
      slot,
      isRepeat: task.attempts.size > 0,
      abort: new AbortController(),
      sentMs: null,
    };
    const deadlineMs = slot.deadlineMsFor(task.spec);
    const isFirst = task.attempts.size === 0 && task.failures === 0;
    slot.begin(attempt, this.#clock.now());
    task.attempts.add(attempt);
    task.run.attempts.add(attempt);
    this.#try(attempt, deadlineMs, isFirst)
      .finally(() => {
        slot.end(attempt, this.#clock.now());
        task.attempts.delete(attempt);
        task.run.attempts.delete(attempt);
      })
      .then((result) => this.#succeeded(attempt, result))
      .catch((caught) => this.#tryFailed(attempt, toEspalierError(caught)))
      .finally(() => this.#pumpSoon());
  }

  async #try(attempt: Attempt, deadlineMs: number, isFirst: boolean): Promise<{ result: TaskResult; seconds: number }> {
    const { task, slot, abort } = attempt;
    const held = isFirst ? this.#heldElsewhere(task, slot) : [];
    const spec =
      held.length === 0 ? task.spec : await this.#handOver.prepare(task.spec, slot.worker, held, abort.signal);
    const onSent = () => {
      attempt.sentMs = this.#clock.now();
      this.#listener.bytes('out', requestBytes(spec));
    };
    const told = task.job.beginTry({ id: spec.id, kind: kindOf(spec) });
    try {
      const { context } = told;
      const result = await tryTask(slot.worker, spec, { deadlineMs, signal: abort.signal, onSent, context });
      told.end();
      return { result, seconds: (this.#clock.now() - slot.atTheEarliestMs(attempt)) / 1000 };
    } catch (caught) {
      told.end(caught);
      throw caught;
    }
  }

  /** The states that this task goes on from, where its key has moved here from other workers. */
  #heldElsewhere({ spec, job }: Task, slot: WorkerSlot): HeldShards[] {
    if (spec.affinity === undefined || job.ownerOf(spec.affinity) !== slot.address) return [];
    return job.holders.holdersOf(spec.request).flatMap(({ shards, address }) => {
      const holder = address === slot.address ? undefined : this.#slots.get(address)?.worker;
      return holder === undefined ? [] : [{ shards, holder }];
    });
  }

  #succeeded(attempt: Attempt, { result, seconds }: { result: TaskResult; seconds: number }): void {
    const { task, slot } = attempt;
    const { job, run, spec } = task;
    const kind = kindOf(spec);
    slot.succeeded();
    job.durations.add(kind, seconds * 1000);
    job.holders.note(spec.request, slot.address);
    job.spread.done(spec.request, seconds * 1000);
    this.#listener.taskDone(kind, seconds);
    let bytes = 0;
    for (const { data } of result.values()) bytes += data.byteLength;
    this.#listener.bytes('in', bytes);
    for (const other of task.attempts) {
      // Late, or gone without a word.
      if (attempt.isRepeat) this.#punish(other.slot);
      other.abort.abort(new EspalierError('cancelled', `${spec.id}: done elsewhere`));
    }
    run.done(task, result);
  }

  #tryFailed({ task, slot }: Attempt, error: EspalierError): void {
    const { run, spec, job } = task;
    if (run.isOver || task.isDone) return;
    // Nobody here cancelled it: the worker is ending.
    const isFull = error.code === 'disk_full' && saidByPeer(error);
    // A worker without room on its disk: others may have some.
    const passes = error.retryable || error.code === 'cancelled' || isFull;
    if (!passes) {
      this.#fail(run, error);
      return;
    }
    const now = this.#clock.now();
    this.#listener.taskRetried(kindOf(spec), error.code);
    task.avoid = slot.address;
    if (error.code === 'worker_busy') {
      this.#pumpIn(slot.setAside(error.retryAfterMs ?? BUSY_MS, now));
    } else if (error.code === 'worker_unavailable' && saidByPeer(error)) {
      // It is shutting down and says so: no fault of the task, nor a reason to ask it again soon.
      this.#pumpIn(slot.setAside(BUSY_MS, now));
    } else {
      task.failures += 1;
      task.failedOn.add(slot.address);
      if (error.code === 'blob_missing') slot.worker.uploader.forget(spec.blobs.map(({ digest }) => digest));
      else this.#punish(slot);
    }
    if (task.failures >= MAX_TRIES) {
      this.#pardon(task);
      this.#fail(run, givenUp(task, slot, error));
    } else if (task.attempts.size === 0) {
      task.waitingSinceMs = now;
      job.waiting.unshift(task);
    }
  }

  #punish(slot: WorkerSlot): void {
    const now = this.#clock.now();
    const pauseMs = slot.failed(now);
    if (!slot.isUsable(now)) {
      this.#allocate();
      this.#after(pauseMs, () => {
        this.#allocate();
        this.#pump();
      });
    } else this.#pumpIn(pauseMs);
  }

  /** What failed on several workers was not the fault of each: other jobs go on there. */
  #pardon({ failedOn }: Task): void {
    if (failedOn.size < 2) return;
    for (const address of failedOn) this.#slots.get(address)?.pardon();
  }

  #fail(run: TaskRun, error: EspalierError): void {
    if (run.isOver) return;
    for (const job of this.#jobs)
      if (job.waiting.some((task) => task.run === run)) job.waiting = job.waiting.filter((task) => task.run !== run);
    this.#scopes.releaseRun(run);
    run.fail(error);
  }

  /** Looks again in a while where a worker idles and others do not. */
  #watchIdle(): void {
    if (this.#stopLooking !== null) return;
    const slots = [...this.#slots.values()];
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
    const slots = [...this.#slots.values()];
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
      this.#begin(task, idle);
    }
  }

  #pumpIn(ms: number): void {
    this.#after(ms, () => this.#pump());
  }

  #after(ms: number, callback: () => void): void {
    const stop = this.#clock.after(ms + 1, () => {
      this.#timers.delete(stop);
      callback();
    });
    this.#timers.add(stop);
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

function givenUp({ spec, failures }: Task, slot: WorkerSlot, error: EspalierError): EspalierError {
  const code = error.code === 'cancelled' ? 'worker_unavailable' : error.code;
  const text = `${spec.id}: failed ${failures} times, last on ${slot.address}: ${error.message}`;
  return new EspalierError(code, text, { cause: error });
}

function interrupted(reason: unknown): EspalierError {
  return reason instanceof EspalierError ? reason : new EspalierError('cancelled', 'interrupted', { cause: reason });
}
