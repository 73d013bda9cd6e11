// One task computes at a time; a few wait behind it; more are refused.
import { EspalierError } from '../../shared/errors.ts';

export class TaskQueue {
  readonly #maxWaiting: number;
  #admitted = 0;
  #last: Promise<unknown> = Promise.resolve();
  #closed: EspalierError | null = null;
  #idle: (() => void)[] = [];

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  /** Holds a place for one task, computing or waiting or still sending its result, until the returned function is called.
   * @throws EspalierError "worker_busy" when there is none, or the reason of `close`. */
  admit(): () => void {
    if (this.#closed !== null) throw this.#closed;
    if (this.#admitted > this.#maxWaiting)
      throw new EspalierError('worker_busy', `got a task while ${this.#admitted} are running or waiting`);
    this.#admitted += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#admitted -= 1;
      if (this.#admitted === 0) for (const resolve of this.#idle.splice(0)) resolve();
    };
  }

  /** Computes after all that came before. A task whose signal aborts while it waits never starts. */
  async compute<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const turn = this.#last.then(() => {
      signal.throwIfAborted();
      return work();
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Refuses further tasks with this error. */
  close(reason: EspalierError): void {
    this.#closed ??= reason;
  }

  /** Resolves when no task is running, waiting or sending. */
  async idle(): Promise<void> {
    if (this.#admitted > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
