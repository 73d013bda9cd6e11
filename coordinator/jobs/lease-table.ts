// Which leases of others still hold, by this process's own monotonic clock: no two clocks are compared. A lease has lapsed
// when its key was gone or unchanged for the lease period, all of it while this process was connected and ran: each new
// connection, and each time that this process was stopped for a while, starts all periods anew, since changes may have
// come that it has not seen.
import type { KeyEntry } from '../../shared/bus/bus.ts';

interface Seen {
  /** null: no such key, or deleted. */
  readonly revision: number | null;
  readonly sinceMs: number;
}

export class LeaseTable {
  readonly #leaseMs: number;
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();
  #connectedSinceMs: number;
  #lastTickMs: number;

  constructor(leaseMs: number, now: () => number) {
    this.#leaseMs = leaseMs;
    this.#now = now;
    this.#connectedSinceMs = now();
    this.#lastTickMs = now();
  }

  /** Called several times in a lease period: a gap between calls shows that this process stood still. */
  tick(): void {
    const nowMs = this.#now();
    if (nowMs - this.#lastTickMs > this.#leaseMs / 2) this.#connectedSinceMs = nowMs;
    this.#lastTickMs = nowMs;
  }

  /** A new version of a key. */
  apply(entry: KeyEntry): void {
    const revision = entry.value === null ? null : entry.revision;
    const known = this.#seen.get(entry.key);
    if (known !== undefined && known.revision === revision) return;
    this.#seen.set(entry.key, { revision, sinceMs: this.#now() });
  }

  /** The connection came back. */
  reconnected(): void {
    this.#connectedSinceMs = this.#now();
  }

  /** Asked of a key that was never seen, it starts to watch for it: whoever claims has its lease first, but the two may be
   * seen in another order. */
  hasLapsed(key: string): boolean {
    this.tick();
    let seen = this.#seen.get(key);
    if (seen === undefined) {
      seen = { revision: null, sinceMs: this.#now() };
      this.#seen.set(key, seen);
    }
    return this.#now() - Math.max(seen.sinceMs, this.#connectedSinceMs) > this.#leaseMs;
  }

  /** Revision of the key that is there now, as last seen, or null. */
  revision(key: string): number | null {
    return this.#seen.get(key)?.revision ?? null;
  }

  /** Keys that are there, under this prefix. */
  present(prefix: string): string[] {
    return [...this.#seen]
      .filter(([key, { revision }]) => key.startsWith(prefix) && revision !== null)
      .map(([key]) => key);
  }

  /** Forgets keys that are gone, except those that are still asked for. */
  forgetGone(stillAsked: (key: string) => boolean): void {
    for (const [key, { revision }] of this.#seen) if (revision === null && !stillAsked(key)) this.#seen.delete(key);
  }
}
