// How long this coordinator leaves a job alone that it has just handed back for an error that may pass. Others may take it.

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;
const MAX_JOBS = 1_000;

export class Backoff {
  readonly #now: () => number;
  readonly #jobs = new Map<string, { readonly untilMs: number; readonly pauseMs: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Each time in a row twice as long. */
  note(id: string): void {
    const known = this.#jobs.get(id);
    const pauseMs = known === undefined ? FIRST_MS : Math.min(known.pauseMs * 2, LONGEST_MS);
    this.#jobs.delete(id);
    this.#jobs.set(id, { untilMs: this.#now() + pauseMs, pauseMs });
    // The one that was noted longest ago.
    if (this.#jobs.size > MAX_JOBS) this.#jobs.delete(this.#jobs.keys().next().value!);
  }

  isOver(id: string): boolean {
    return this.#now() >= (this.#jobs.get(id)?.untilMs ?? Number.NEGATIVE_INFINITY);
  }

  forget(id: string): void {
    this.#jobs.delete(id);
  }
}
