// Which task goes to which worker next, as far as workers have room.
//
// A worker takes, by priority and then in turn between jobs: tasks that are at home there, and tasks that failed elsewhere.
// When it idles it takes what others would do later: first tasks that need no state, then its own jobs' longest queue, and
// last tasks of other homes that have waited for long.
import type { Clock } from './clock.ts';
import type { DeviceScopes } from './device-scopes.ts';
import type { OthersLoad } from './other-loads.ts';
import type { ScheduledJob } from './scheduled-job.ts';
import type { ScheduledJobs } from './scheduled-jobs.ts';
import type { Task } from './task-run.ts';
import type { WorkerSlot } from './worker-slot.ts';
import type { WorkerSlots } from './worker-slots.ts';

/** A task with states elsewhere waits at least this long for its home before another's worker computes them anew. */
const STATE_WAIT_MS = 500;

export interface TurnsOptions {
  readonly slots: WorkerSlots;
  readonly jobs: ScheduledJobs;
  readonly scopes: DeviceScopes;
  readonly others: OthersLoad;
  readonly clock: Clock;
  /** Sends the task, which waits no more. */
  readonly begin: (task: Task, slot: WorkerSlot) => void;
}

export class Turns {
  readonly #slots: WorkerSlots;
  readonly #jobs: ScheduledJobs;
  readonly #scopes: DeviceScopes;
  readonly #others: OthersLoad;
  readonly #clock: Clock;
  readonly #begin: (task: Task, slot: WorkerSlot) => void;

  constructor({ slots, jobs, scopes, others, clock, begin }: TurnsOptions) {
    this.#slots = slots;
    this.#jobs = jobs;
    this.#scopes = scopes;
    this.#others = others;
    this.#clock = clock;
    this.#begin = begin;
  }

  /** Sends what can be sent now: to the emptiest workers first, then to idle ones what waits for others. */
  send(): void {
    const now = this.#clock.now();
    for (let sent = true; sent; ) {
      const jobs = this.#jobs.waiting;
      if (jobs.length === 0) break;
      const open = this.#slots.open(now);
      open.sort((a, b) => a.inFlight.size - b.inFlight.size);
      sent = open.some((slot) => this.#sendOwn(slot, jobs)) || open.some((slot) => this.#sendStolen(slot, jobs));
    }
  }

  /** Sends the task that has its turn here. */
  #sendOwn(slot: WorkerSlot, jobs: readonly ScheduledJob[]): boolean {
    let found: Task | undefined;
    let foundTurn = 0;
    for (const job of jobs) {
      if (found !== undefined && job.priority < found.job.priority) break;
      const turn = slot.servedTurn.get(job) ?? -1;
      if (!job.accepts(slot) || (found !== undefined && turn >= foundTurn)) continue;
      const task = job.nextFor(slot, ({ missingOn }) =>
        this.#slots.hasOther(slot, this.#clock.now(), (other) => !missingOn.has(other)),
      );
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
    this.#begin(task, slot);
    return true;
  }
}
