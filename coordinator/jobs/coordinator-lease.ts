// The lease under which this coordinator claims. When one is lost, the next has another name: the records tell the two
// apart, and what the lost one left running is handed back unless another coordinator was faster.
import { randomBytes } from 'node:crypto';
import type { KeyValueBucket } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { OwnLease } from './own-lease.ts';

export const LEASE_PREFIX = 'coordinator.';

/** Names of lost leases that are remembered. */
const MAX_NAMES = 32;

export interface CoordinatorLeaseOptions {
  readonly bucket: KeyValueBucket;
  /** Seen by users; a random part is added, so that a restarted process has another name. */
  readonly id: string;
  readonly leaseMs: number;
  readonly now: () => number;
  readonly onLost: (reason: unknown) => void;
}

export class CoordinatorLease {
  readonly #options: CoordinatorLeaseOptions;
  /** Names under which this process has claimed, newest last. */
  readonly #names: string[] = [];
  #current!: OwnLease;

  private constructor(options: CoordinatorLeaseOptions) {
    this.#options = options;
  }

  /** @throws EspalierError "bus_unavailable". */
  static async take(options: CoordinatorLeaseOptions): Promise<CoordinatorLease> {
    const lease = new CoordinatorLease(options);
    await lease.#take();
    return lease;
  }

  get current(): OwnLease {
    return this.#current;
  }

  /** Whether the owner in a record is this process, now or before. */
  isMine(owner: string): boolean {
    return this.#names.includes(owner);
  }

  /** Takes a new lease if the current one is lost. @throws EspalierError "bus_unavailable". */
  async ensure(): Promise<void> {
    if (this.#current.isHeld) return;
    const lost = this.#current;
    await this.#take();
    void lost.release();
  }

  async #take(): Promise<void> {
    const { bucket, id, leaseMs, now, onLost } = this.#options;
    const owner = `${id}-${randomBytes(4).toString('hex')}`;
    const lease = await OwnLease.take(bucket, { key: LEASE_PREFIX + owner, owner, leaseMs, now });
    if (lease === null) throw new EspalierError('internal', `${owner}: the lease of this new name is there already`);
    lease.lost.addEventListener('abort', () => onLost(lease.lost.reason), { once: true });
    this.#current = lease;
    this.#names.push(owner);
    if (this.#names.length > MAX_NAMES) this.#names.shift();
  }
}
