// One worker as the scheduler sees it: what it is running, and whether it is trusted at the moment.
//
// trusted → (a failure) aside for a pause → on trial: one task at a time → (a success) trusted, (a failure) aside for
// longer, up to a minute.
import { BusyMeter } from './busy-meter.ts';
import { describeClass } from './device-class.ts';
import type { ScheduledJob } from './scheduled-job.ts';
import type { Attempt } from './task-run.ts';
import type { TaskSpec } from './task-spec.ts';
import type { PooledWorker } from './worker-source.ts';

/** One computes, one waits there: the worker never idles between two tasks. */
export const MAX_IN_FLIGHT = 2;

/** How long a worker is left alone after 1, 2, 3 or more failures in a row. */
const ASIDE_MS = [100, 500, 5_000, 5_000, 20_000, 60_000];

/** A worker that is set aside for this long is no home for the while. */
const LONG_ASIDE_MS = 5_000;

export class WorkerSlot {
  readonly worker: PooledWorker;
  readonly classKey: string;
  /** What an exclusive task needs to itself: the machine of a CPU worker, a GPU. */
  readonly scope: string;
  /** In the order in which the worker takes them. */
  readonly inFlight = new Set<Attempt>();
  /** Turn in which each job was served last here. */
  readonly servedTurn = new Map<ScheduledJob, number>();
  readonly #busy: BusyMeter;
  #turn = 0;
  #failures = 0;
  #asideUntilMs = Number.NEGATIVE_INFINITY;
  #isLongAside = false;
  #lastEndMs = Number.NEGATIVE_INFINITY;

  constructor(worker: PooledWorker, nowMs: number) {
    this.worker = worker;
    this.classKey = describeClass(worker.deviceClass);
    this.scope = worker.deviceClass.kind === 'gpu' ? `worker ${worker.address}` : `host ${worker.host}`;
    this.#busy = new BusyMeter(nowMs);
  }

  get address(): string {
    return this.worker.address;
  }

  get isFull(): boolean {
    const limit = this.#failures > 0 ? 1 : MAX_IN_FLIGHT;
    return this.inFlight.size >= limit || this.hasExclusive;
  }

  get hasExclusive(): boolean {
    for (const { task } of this.inFlight) if (task.spec.exclusive) return true;
    return false;
  }

  /** Takes tasks now. */
  isOpen(nowMs: number): boolean {
    return !this.worker.isLeaving && nowMs >= this.#asideUntilMs && !this.isFull;
  }

  isAside(nowMs: number): boolean {
    return nowMs < this.#asideUntilMs;
  }

  /** Can be a job's home. */
  isUsable(nowMs: number): boolean {
    return !this.worker.isLeaving && !(this.#isLongAside && this.isAside(nowMs));
  }

  busyRatio(nowMs: number): number {
    return this.#busy.ratio(nowMs);
  }

  begin(attempt: Attempt, nowMs: number): void {
    this.inFlight.add(attempt);
    this.servedTurn.set(attempt.task.job, ++this.#turn);
    if (this.inFlight.size === 1) this.#busy.set(true, nowMs);
  }

  end(attempt: Attempt, nowMs: number): void {
    this.inFlight.delete(attempt);
    this.#lastEndMs = nowMs;
    if (this.inFlight.size === 0) this.#busy.set(false, nowMs);
  }

  /** When the worker could begin with it; null: not yet, as far as is known here. */
  startedMs(attempt: Attempt): number | null {
    const [first] = this.inFlight;
    if (attempt.sentMs === null || (this.inFlight.has(attempt) && first !== attempt)) return null;
    return this.atTheEarliestMs(attempt);
  }

  /** When a worker that takes tasks one after the other could begin with one that it has ended. */
  atTheEarliestMs({ sentMs }: Attempt): number {
    return Math.max(sentMs ?? Number.NEGATIVE_INFINITY, this.#lastEndMs);
  }

  /** Time that the tasks in flight and then `task` may take. */
  deadlineMsFor(spec: TaskSpec): number {
    return [...this.inFlight].reduce((sum, { task }) => sum + task.spec.deadlineMs, spec.deadlineMs);
  }

  /** It works: failures before do not count. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** The failures were not its fault. */
  pardon(): void {
    this.#failures = 0;
    this.#asideUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Counts a failure. @returns for how long the worker is now set aside. */
  failed(nowMs: number): number {
    this.#failures += 1;
    return this.setAside(ASIDE_MS[Math.min(this.#failures, ASIDE_MS.length) - 1], nowMs);
  }

  setAside(ms: number, nowMs: number): number {
    this.#asideUntilMs = Math.max(this.#asideUntilMs, nowMs + ms);
    this.#isLongAside = this.#asideUntilMs - nowMs >= LONG_ASIDE_MS;
    return ms;
  }
}
