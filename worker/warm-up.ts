// When a worker's engine warms up (tasks/warm-up.ts): its first part before the worker serves, since every task would wait for
// most of it; the others when nothing has been asked for a while, and not between the stages of a job. States:
//
//   waiting    a part is due after a pause; left for `computing`, or for `held` when a task comes
//   computing  left when the part is done: for `waiting`, or `over` after the last; when a task comes, which ends it between two
//              layers: for `held`, the part is due again
//   held       a task has the engine; left for `waiting` when it is done
//   over       all parts are done, or one failed, which is told once; tasks do not depend on any
import { type EspalierError, toEspalierError } from '../shared/errors.ts';
import { WARM_UP_PARTS, type WarmUpPart } from './tasks/warm-up-parts.ts';

/** Longer than what a job computes elsewhere between two tasks: the next one would wait until a part has stopped, which comes
 * again from its beginning. */
export const PAUSE_MS = 1000;

export interface WarmUpOptions {
  /** Computes a part; "cancelled" when the signal has aborted. */
  run(part: WarmUpPart, signal: AbortSignal): Promise<void>;
  /** Told why nothing more is warmed up. */
  onFailure(error: EspalierError): void;
}

export class WarmUp {
  readonly #options: WarmUpOptions;
  readonly #due: WarmUpPart[] = [...WARM_UP_PARTS];
  #computing: { readonly ended: Promise<void>; readonly stop: AbortController } | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WarmUpOptions) {
    this.#options = options;
  }

  /** Computes the first part, and the others when there is time. */
  async begin(): Promise<void> {
    await this.#next();
  }

  /** Before a task. Resolves when the engine is free. */
  async hold(): Promise<void> {
    clearTimeout(this.#timer);
    this.#computing?.stop.abort();
    await this.#computing?.ended;
  }

  /** After a task. */
  goOn(): void {
    clearTimeout(this.#timer);
    if (this.#due.length === 0) return;
    this.#timer = setTimeout(() => void this.#next(), PAUSE_MS);
    this.#timer.unref();
  }

  /** Nothing more is begun. */
  close(): void {
    this.#due.length = 0;
    clearTimeout(this.#timer);
    this.#computing?.stop.abort();
  }

  #next(): Promise<void> {
    const stop = new AbortController();
    const ended = this.#compute(this.#due[0], stop.signal).finally(() => {
      this.#computing = null;
    });
    this.#computing = { ended, stop };
    return ended;
  }

  async #compute(part: WarmUpPart, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.run(part, signal);
      this.#due.shift();
    } catch (caught) {
      if (signal.aborted) return;
      this.#due.length = 0;
      this.#options.onFailure(toEspalierError(caught));
    }
    if (!signal.aborted) this.goOn();
  }
}
