// A lease that this process holds: a key that it renews by compare-and-set, three times in a lease period.
//
// held ──▶ lost      the period went by without a renewal that was answered, or the key is another's or gone
//      └─▶ released  by its holder; the key is deleted, so that others need not wait
//
// Lost is for ever: whoever goes on takes a new lease under a new name, since what hung on this one may be another's now.

import { setMaxListeners } from 'node:events';
import type { KeyValueBucket } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';

export interface LeaseTerms {
  readonly key: string;
  readonly owner: string;
  readonly leaseMs: number;
  /** Revision of a lapsed lease of another that this one takes the place of. */
  readonly replaces?: number | null;
  readonly now?: () => number;
}

const RENEWALS_A_PERIOD = 3;

export class OwnLease {
  readonly owner: string;
  readonly key: string;
  readonly #bucket: KeyValueBucket;
  readonly #leaseMs: number;
  readonly #now: () => number;
  readonly #value: Uint8Array;
  readonly #lost = new AbortController();
  readonly #timers: NodeJS.Timeout[];
  #revision: number;
  /** When the newest renewal that was answered was sent. */
  #renewedMs: number;
  #isRenewing = false;
  #isReleased = false;

  private constructor(
    bucket: KeyValueBucket,
    terms: LeaseTerms,
    held: { revision: number; atMs: number; value: Uint8Array },
  ) {
    // Each job listens that is held under it.
    setMaxListeners(0, this.#lost.signal);
    this.#bucket = bucket;
    this.owner = terms.owner;
    this.key = terms.key;
    this.#leaseMs = terms.leaseMs;
    this.#now = terms.now ?? monotonicMs;
    this.#value = held.value;
    this.#revision = held.revision;
    this.#renewedMs = held.atMs;
    this.#timers = [
      setInterval(() => this.isHeld, Math.max(50, this.#leaseMs / 10)),
      setInterval(() => void this.#renew(), this.#leaseMs / RENEWALS_A_PERIOD),
    ];
  }

  /** @returns null when the key is another's. @throws EspalierError "bus_unavailable". */
  static async take(bucket: KeyValueBucket, terms: LeaseTerms): Promise<OwnLease | null> {
    const value = new TextEncoder().encode(JSON.stringify({ owner: terms.owner }));
    const atMs = (terms.now ?? monotonicMs)();
    const { key, replaces = null } = terms;
    const revision = await (replaces === null ? bucket.create(key, value) : bucket.update(key, value, replaces));
    return revision === null ? null : new OwnLease(bucket, terms, { revision, atMs, value });
  }

  /** By this process's own clock, at this moment: also right after it was frozen, before any timer ran. */
  get isHeld(): boolean {
    if (this.#lost.signal.aborted || this.#isReleased) return false;
    if (this.#now() - this.#renewedMs <= this.#leaseMs) return true;
    this.#lose(`not renewed for ${Math.round(this.#now() - this.#renewedMs)} ms`);
    return false;
  }

  /** Aborts with "lease_lost". */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Deletes the key, if it is there and can be reached. */
  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#stop();
    await this.#bucket.delete(this.key, this.#revision).catch(() => false);
  }

  async #renew(): Promise<void> {
    // One at a time: the answer to one that is late still counts from when it was sent.
    if (this.#isRenewing || !this.isHeld) return;
    this.#isRenewing = true;
    try {
      if ((await this.#write()) || !(await this.#readAgain())) return;
      await this.#write();
    } catch {
      // The bus is away. Whether that lasts too long, the next look at the clock tells.
    } finally {
      this.#isRenewing = false;
    }
  }

  async #write(): Promise<boolean> {
    const atMs = this.#now();
    const revision = await this.#bucket.update(this.key, this.#value, this.#revision);
    if (revision === null) return false;
    this.#revision = revision;
    this.#renewedMs = atMs;
    return true;
  }

  // A renewal that went through although its answer was lost left another revision with our own value. True when it did.
  async #readAgain(): Promise<boolean> {
    const entry = await this.#bucket.get(this.key);
    if (entry?.value && Buffer.compare(entry.value, this.#value) === 0) {
      this.#revision = entry.revision;
      return true;
    }
    if (!this.#isReleased) this.#lose(entry === null ? 'its key was deleted' : 'its key has another owner');
    return false;
  }

  #lose(reason: string): void {
    this.#stop();
    this.#lost.abort(new EspalierError('lease_lost', `${this.owner}: the lease ${this.key} is lost: ${reason}`));
  }

  #stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }
}

/** A clock that only goes forward, in milliseconds. */
export function monotonicMs(): number {
  return performance.now();
}
