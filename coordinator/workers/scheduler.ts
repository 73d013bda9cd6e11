// Hands tasks to workers until all are done. Since a task gives the same bits wherever and however often it runs, losing
// a worker costs time only.
//
// A task: waiting → in flight on one worker → done; after a failure that may pass it waits again, in front of the others
// and preferably for another worker; after MAX_TRIES of them, or one that cannot pass, its whole run fails.
import { setMaxListeners } from 'node:events';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { Placement } from './placement.ts';
import { type TaskResult, type TaskSpec, tryTask } from './task-spec.ts';
import type { WorkerPool } from './worker-pool.ts';
import { WorkerSlot } from './worker-slot.ts';

const MAX_TRIES = 5;

/** Pause before a worker that serves other coordinators, too, is asked again. */
const BUSY_MS = 200;

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** Called once a task, in the order in which they are done. */
  readonly onDone?: (task: TaskSpec, result: TaskResult) => void;
}

interface WaitingTask {
  readonly spec: TaskSpec;
  readonly index: number;
  readonly run: TaskRun;
  tries: number;
  /** Worker on which it failed last. */
  avoid: string | null;
}

export class Scheduler {
  readonly #pool: WorkerPool;
  readonly #unsubscribe: () => void;
  readonly #placement = new Placement();
  readonly #slots = new Map<string, WorkerSlot>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #waiting: WaitingTask[] = [];

  constructor(pool: WorkerPool) {
    this.#pool = pool;
    this.#unsubscribe = pool.subscribe(() => this.#poolChanged());
    this.#poolChanged();
  }

  /** Runs all tasks and returns their results in the same order. Several runs may go on at once.
   * @throws EspalierError of the first task that failed for good; the others are cancelled. "no_workers" when the pool is
   * exhausted, "cancelled" when the signal aborts. */
  async runTasks(tasks: readonly TaskSpec[], options: RunOptions = {}): Promise<TaskResult[]> {
    const run = new TaskRun(tasks.length, options.onDone);
    const abort = () => this.#fail(run, interrupted(options.signal?.reason));
    options.signal?.addEventListener('abort', abort, { once: true });
    this.#waiting.push(...tasks.map((spec, index) => ({ spec, index, run, tries: 0, avoid: null })));
    if (options.signal?.aborted) abort();
    else this.#pump();
    try {
      return await run.finished;
    } finally {
      options.signal?.removeEventListener('abort', abort);
    }
  }

  /** Stops watching the pool; runs that are not finished fail. */
  close(): void {
    this.#unsubscribe();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const { run } of [...this.#waiting])
      this.#fail(run, new EspalierError('cancelled', 'the scheduler is closed'));
  }

  #poolChanged(): void {
    const workers = this.#pool.workers;
    for (const [address, slot] of this.#slots) {
      if (workers.includes(slot.worker)) continue;
      // What it is running may still come through; if not, each of its calls fails by itself.
      this.#slots.delete(address);
      this.#placement.drop(address);
    }
    for (const worker of workers) {
      if (this.#slots.has(worker.address)) continue;
      this.#slots.set(worker.address, new WorkerSlot(worker));
      this.#placement.admit(worker.address, [...this.#slots.keys()]);
    }
    this.#pump();
  }

  /** Sends what can be sent now: to the emptiest workers first, then to idle ones what waits for others. */
  #pump(): void {
    const { exhausted } = this.#pool;
    if (exhausted !== null) for (const run of new Set(this.#waiting.map(({ run }) => run))) this.#fail(run, exhausted);
    for (let sent = true; sent && this.#waiting.length > 0; ) {
      const open = [...this.#slots.values()].filter((slot) => !slot.isAside && !slot.isFull);
      open.sort((a, b) => a.inFlight.size - b.inFlight.size);
      sent = open.some((slot) => this.#sendOwn(slot)) || open.some((slot) => this.#sendStolen(slot));
    }
  }

  /** Sends the first task that belongs on this worker, or on any. */
  #sendOwn(slot: WorkerSlot): boolean {
    const task = this.#waiting.find((waiting) => this.#belongs(waiting, slot));
    // An exclusive task keeps its worker from getting more, until it is empty.
    if (task === undefined || (task.spec.exclusive && slot.inFlight.size > 0)) return false;
    this.#send(task, slot);
    return true;
  }

  #belongs({ spec, avoid }: WaitingTask, slot: WorkerSlot): boolean {
    if (avoid !== null) return avoid !== slot.address || !this.#hasOther(slot);
    return spec.affinity === undefined || this.#ownerOf(spec.affinity) === slot.address;
  }

  #hasOther(slot: WorkerSlot): boolean {
    return [...this.#slots.values()].some((other) => other !== slot && !other.isAside);
  }

  #ownerOf(key: string): string {
    return this.#placement.owner(key, [...this.#slots.keys()]);
  }

  /** Sends to an idle worker the task that would have its turn last on the worker with the most waiting. */
  #sendStolen(slot: WorkerSlot): boolean {
    if (slot.inFlight.size > 0) return false;
    const byOwner = new Map<string, WaitingTask[]>();
    for (const waiting of this.#waiting) {
      const { affinity } = waiting.spec;
      if (affinity === undefined || waiting.avoid !== null) continue;
      const owner = this.#ownerOf(affinity);
      const others = byOwner.get(owner);
      if (others === undefined) byOwner.set(owner, [waiting]);
      else others.push(waiting);
    }
    const [longest] = [...byOwner.values()].sort((a, b) => b.length - a.length);
    const task = longest?.at(-1);
    if (task === undefined) return false;
    this.#send(task, slot);
    // The thief has the key's newest state now, unless its owner goes on with other tasks of it.
    const key = task.spec.affinity!;
    const goesOn = this.#waiting.some(({ spec }) => spec.affinity === key) || this.#isInFlight(key, slot);
    if (!goesOn) this.#placement.move(key, slot.address);
    return true;
  }

  #isInFlight(key: string, except: WorkerSlot): boolean {
    const others = [...this.#slots.values()].filter((slot) => slot !== except);
    return others.some(({ inFlight }) => [...inFlight].some(({ affinity }) => affinity === key));
  }

  #send(task: WaitingTask, slot: WorkerSlot): void {
    const { spec, run, index } = task;
    this.#waiting.splice(this.#waiting.indexOf(task), 1);
    task.tries += 1;
    const deadlineMs = slot.deadlineMsFor(spec);
    slot.inFlight.add(spec);
    tryTask(slot.worker, spec, { deadlineMs, signal: run.signal })
      .finally(() => slot.inFlight.delete(spec))
      .then((result) => {
        slot.succeeded();
        run.done(index, spec, result);
      })
      .catch((caught) => this.#tryFailed(task, slot, toEspalierError(caught)))
      .finally(() => this.#pump());
  }

  #tryFailed(task: WaitingTask, slot: WorkerSlot, error: EspalierError): void {
    const { run, spec } = task;
    if (run.isOver) return;
    // Nobody here cancelled it: the worker is ending.
    const passes = error.retryable || error.code === 'cancelled';
    if (!passes) {
      this.#fail(run, error);
      return;
    }
    if (error.code === 'worker_busy') {
      task.tries -= 1;
      this.#pumpIn(slot.setAside(BUSY_MS));
    } else {
      task.avoid = slot.address;
      if (error.code === 'blob_missing') slot.worker.uploader.forget(spec.blobs.map(({ digest }) => digest));
      else this.#pumpIn(slot.failed());
    }
    if (task.tries >= MAX_TRIES) this.#fail(run, givenUp(task, slot, error));
    else this.#waiting.unshift(task);
  }

  #fail(run: TaskRun, error: EspalierError): void {
    this.#waiting = this.#waiting.filter((task) => task.run !== run);
    run.fail(error);
  }

  #pumpIn(ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#pump();
    }, ms + 1);
    this.#timers.add(timer);
  }
}

/** The tasks of one call of `runTasks`, together. */
class TaskRun {
  readonly finished: Promise<TaskResult[]>;
  readonly #results: TaskResult[];
  readonly #onDone: RunOptions['onDone'];
  readonly #abort = new AbortController();
  #left: number;
  #resolve: (results: TaskResult[]) => void = () => {};
  #reject: (error: EspalierError) => void = () => {};
  isOver = false;

  constructor(count: number, onDone: RunOptions['onDone']) {
    this.#results = new Array(count);
    this.#left = count;
    this.#onDone = onDone;
    // Each task in flight listens.
    setMaxListeners(0, this.#abort.signal);
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (count === 0) this.#finish();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  done(index: number, spec: TaskSpec, result: TaskResult): void {
    if (this.isOver) return;
    this.#results[index] = result;
    this.#left -= 1;
    try {
      this.#onDone?.(spec, result);
    } catch (caught) {
      this.fail(toEspalierError(caught));
    }
    if (this.#left === 0) this.#finish();
  }

  fail(error: EspalierError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#reject(error);
    this.#abort.abort(error);
  }

  #finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#resolve(this.#results);
  }
}

function givenUp({ spec, tries }: WaitingTask, slot: WorkerSlot, error: EspalierError): EspalierError {
  const code = error.code === 'cancelled' ? 'worker_unavailable' : error.code;
  const text = `${spec.id}: failed ${tries} times, last on ${slot.address}: ${error.message}`;
  return new EspalierError(code, text, { cause: error });
}

function interrupted(reason: unknown): EspalierError {
  return reason instanceof EspalierError ? reason : new EspalierError('cancelled', 'interrupted', { cause: reason });
}
