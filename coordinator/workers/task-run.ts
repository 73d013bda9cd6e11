// The tasks of one call of `runTasks`, together, and the tries of each.
//
// A task: waiting → in flight on one worker, or on two once it is slow → done with the first result; the other try is
// cancelled. After a failure that may pass it waits again.
import { type EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { ScheduledJob } from './scheduled-job.ts';
import type { TaskResult, TaskSpec } from './task-spec.ts';
import type { WorkerSlot } from './worker-slot.ts';

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Called once a task, in the order in which they are done. */
  readonly onDone?: (task: TaskSpec, result: TaskResult) => void;
}

export interface Task {
  readonly spec: TaskSpec;
  readonly index: number;
  readonly run: TaskRun;
  readonly job: ScheduledJob;
  readonly attempts: Set<Attempt>;
  /** Since when it waits. */
  waitingSinceMs: number;
  /** Tries that ended badly and count. */
  failures: number;
  /** Workers on which they did. */
  readonly failedOn: Set<string>;
  /** Worker on which it failed last. */
  avoid: WorkerSlot | null;
  /** Workers that do not have what it runs in, each with what it said. */
  readonly missingOn: Map<WorkerSlot, EspalierError>;
  isDone: boolean;
}

/** One try of a task on one worker. */
export interface Attempt {
  readonly task: Task;
  readonly slot: WorkerSlot;
  /** Another had the task already and was slow. */
  readonly isRepeat: boolean;
  readonly abort: AbortController;
  /** When its blobs were there and the call went out; null until then. */
  sentMs: number | null;
}

export class TaskRun {
  readonly finished: Promise<TaskResult[]>;
  readonly attempts = new Set<Attempt>();
  readonly #results: TaskResult[];
  readonly #onDone: RunOptions['onDone'];
  #left: number;
  #resolve: (results: TaskResult[]) => void = () => {};
  #reject: (error: EspalierError) => void = () => {};
  isOver = false;

  constructor(count: number, onDone: RunOptions['onDone']) {
    this.#results = new Array(count);
    this.#left = count;
    this.#onDone = onDone;
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (count === 0) this.#finish();
  }

  /** Takes the first result of a task; later ones are the same bits and are ignored. */
  done(task: Task, result: TaskResult): void {
    if (this.isOver || task.isDone) return;
    task.isDone = true;
    this.#results[task.index] = result;
    this.#left -= 1;
    try {
      this.#onDone?.(task.spec, result);
    } catch (caught) {
      this.fail(toEspalierError(caught));
    }
    if (this.#left === 0) this.#finish();
  }

  fail(error: EspalierError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#reject(error);
    for (const { abort } of this.attempts) abort.abort(error);
  }

  #finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#resolve(this.#results);
  }
}
