// How busy something was during the last minute: the share of time in which at least one piece of work ran.

const WINDOW_MS = 60_000;

export class BusyMeter {
  readonly #now: () => number;
  readonly #madeAt: number;
  /** Stretches that ended within the window, oldest first. Works that overlap make one stretch. */
  #stretches: { readonly from: number; readonly to: number }[] = [];
  #running = 0;
  #since = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#madeAt = now();
  }

  /** @returns what ends the work, once. */
  begin(): () => void {
    if (this.#running === 0) this.#since = this.#now();
    this.#running += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#running -= 1;
      if (this.#running > 0) return;
      this.#forget();
      const last = this.#stretches.at(-1);
      // Tasks follow each other by less than a millisecond: joined, a minute of small ones stays a short list.
      if (last !== undefined && this.#since - last.to < 1)
        this.#stretches[this.#stretches.length - 1] = { from: last.from, to: this.#now() };
      else this.#stretches.push({ from: this.#since, to: this.#now() });
    };
  }

  /** 0 to 1, of the last minute or of the time since the start. */
  ratio(): number {
    this.#forget();
    const now = this.#now();
    const start = Math.max(this.#madeAt, now - WINDOW_MS);
    if (now <= start) return 0;
    let busyMs = this.#running > 0 ? now - Math.max(start, this.#since) : 0;
    for (const { from, to } of this.#stretches) busyMs += Math.max(0, to - Math.max(start, from));
    return Math.min(1, busyMs / (now - start));
  }

  #forget(): void {
    const start = this.#now() - WINDOW_MS;
    const kept = this.#stretches.findIndex(({ to }) => to > start);
    if (kept !== 0) this.#stretches = kept < 0 ? [] : this.#stretches.slice(kept);
  }
}
