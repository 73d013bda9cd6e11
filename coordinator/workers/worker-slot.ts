// One worker as the scheduler sees it: what it is running, and whether it is trusted at the moment.
import type { TaskSpec } from './task-spec.ts';
import type { PooledWorker } from './worker-pool.ts';

/** One computes, one waits there: the worker never idles between two tasks. */
const MAX_IN_FLIGHT = 2;

/** How long a worker is left alone after 1, 2, 3 or more failures in a row. */
const ASIDE_MS = [100, 500, 5_000];

export class WorkerSlot {
  readonly worker: PooledWorker;
  readonly inFlight = new Set<TaskSpec>();
  #failures = 0;
  #asideUntilMs = 0;

  constructor(worker: PooledWorker) {
    this.worker = worker;
  }

  get address(): string {
    return this.worker.address;
  }

  get isAside(): boolean {
    return Date.now() < this.#asideUntilMs;
  }

  get isFull(): boolean {
    return this.inFlight.size >= MAX_IN_FLIGHT || [...this.inFlight].some(({ exclusive }) => exclusive);
  }

  /** Time that the tasks in flight and then `task` may take. */
  deadlineMsFor(task: TaskSpec): number {
    return [...this.inFlight].reduce((sum, { deadlineMs }) => sum + deadlineMs, task.deadlineMs);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** Counts a failure. Returns for how long the worker is now set aside. */
  failed(): number {
    this.#failures += 1;
    return this.setAside(ASIDE_MS[Math.min(this.#failures, ASIDE_MS.length) - 1]);
  }

  setAside(ms: number): number {
    this.#asideUntilMs = Math.max(this.#asideUntilMs, Date.now() + ms);
    return ms;
  }
}
