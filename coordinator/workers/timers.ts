// Calls that are due later, and end together with whoever asked for them.
import type { Clock } from './clock.ts';

export class Timers {
  readonly #clock: Clock;
  readonly #stops = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls back once when `ms` are over, never before. */
  after(ms: number, callback: () => void): void {
    const stop = this.#clock.after(ms + 1, () => {
      this.#stops.delete(stop);
      callback();
    });
    this.#stops.add(stop);
  }

  /** What has not been called yet never is. */
  close(): void {
    for (const stop of this.#stops) stop();
    this.#stops.clear();
  }
}
