// How long the tasks of each kind take in one job: what makes a straggler one.

const KEPT = 33;
/** With fewer, nobody can say what is slow. */
const LEAST = 3;
const SLOW_FACTOR = 2;
const SLOW_LEAST_MS = 1_000;

export class TaskDurations {
  readonly #byKind = new Map<string, number[]>();

  add(kind: string, ms: number): void {
    const kept = this.#byKind.get(kind) ?? [];
    kept.push(ms);
    if (kept.length > KEPT) kept.shift();
    this.#byKind.set(kind, kept);
  }

  /** How long a task of the kind takes at the most before it counts as slow; null: not known yet. */
  slowAfterMs(kind: string): number | null {
    const kept = this.#byKind.get(kind);
    if (kept === undefined || kept.length < LEAST) return null;
    const sorted = kept.toSorted((a, b) => a - b);
    return Math.max(SLOW_FACTOR * sorted[sorted.length >> 1], SLOW_LEAST_MS);
  }
}
