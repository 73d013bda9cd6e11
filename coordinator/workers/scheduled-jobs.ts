// All jobs that have joined, in the order in which they came, and the end of their runs.
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceScopes } from './device-scopes.ts';
import type { ScheduledJob } from './scheduled-job.ts';
import type { Task, TaskRun } from './task-run.ts';
import type { WorkerSlot } from './worker-slot.ts';

export class ScheduledJobs implements Iterable<ScheduledJob> {
  readonly #jobs = new Set<ScheduledJob>();
  readonly #scopes: DeviceScopes;

  constructor(scopes: DeviceScopes) {
    this.#scopes = scopes;
  }

  [Symbol.iterator](): IterableIterator<ScheduledJob> {
    return this.#jobs.values();
  }

  /** Tasks that wait, of all jobs. */
  get pendingTasks(): number {
    let count = 0;
    for (const { waiting } of this.#jobs) count += waiting.length;
    return count;
  }

  /** Those with tasks that wait, by priority. */
  get waiting(): ScheduledJob[] {
    return [...this.#jobs].filter(({ waiting }) => waiting.length > 0).sort((a, b) => b.priority - a.priority);
  }

  has(job: ScheduledJob): boolean {
    return this.#jobs.has(job);
  }

  add(job: ScheduledJob): void {
    this.#jobs.add(job);
  }

  /** @returns whether it was there. */
  delete(job: ScheduledJob): boolean {
    return this.#jobs.delete(job);
  }

  /** Ends a run: what waits is dropped, what is in flight cancelled. */
  fail(run: TaskRun, error: EspalierError): void {
    if (run.isOver) return;
    for (const job of this.#jobs)
      if (job.waiting.some((task) => task.run === run)) job.waiting = job.waiting.filter((task) => task.run !== run);
    this.#scopes.releaseRun(run);
    run.fail(error);
  }

  /** Ends every run with a task whose runtime none of the workers that are there has. */
  failWhereMissing(slots: Iterable<WorkerSlot>): void {
    for (const job of this.#jobs)
      for (const task of [...job.waiting]) {
        // Behind those that failed stand the others.
        if (task.avoid === null) break;
        if (task.missingOn.size === 0) continue;
        const there = [...slots].filter((slot) => job.accepts(slot) && !slot.worker.isLeaving);
        if (there.length > 0 && there.every((slot) => task.missingOn.has(slot))) this.fail(task.run, nobodyHas(task));
      }
  }

  /** Ends every run that has a task waiting. */
  failWaiting(error: EspalierError): void {
    for (const { waiting } of this.#jobs) for (const { run } of [...waiting]) this.fail(run, error);
  }
}

function nobodyHas({ spec, missingOn }: Task): EspalierError {
  const [slot, error] = [...missingOn].at(-1)!;
  const others = missingOn.size === 1 ? '' : ` and ${missingOn.size - 1} more`;
  // A worker's words begin with the task's id.
  const reason = error.message.replace(`${spec.id}: `, '');
  const text = `${spec.id}: on ${slot.address}${others}: ${reason}`;
  return new EspalierError(error.code, text, { action: error.action, cause: error });
}
