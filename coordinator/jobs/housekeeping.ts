// What one coordinator does for all, under the lease `task.retention`: removes what is old, adds wake tokens that are
// missing, and deletes the leases of coordinators that are gone. Two that do it at once, after a lease was lost, do no harm.
import type { Bus } from '../../shared/bus/bus.ts';
import { toEspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import type { ClusterJobStore } from './cluster-job-store.ts';
import { LEASE_PREFIX } from './coordinator-lease.ts';
import type { LeaseTable } from './lease-table.ts';
import { OwnLease } from './own-lease.ts';
import { removeOld } from './retention.ts';
import { WakeTokens } from './wake-tokens.ts';
import { WakeUp } from './wake-up.ts';

const TASK_KEY = 'task.retention';
const ROUND_MS = 5_000;
const RETENTION_MS = 60_000;

export interface HousekeepingOptions {
  readonly bus: Bus;
  readonly store: ClusterJobStore;
  readonly leases: LeaseTable;
  readonly id: string;
  readonly leaseMs: number;
  readonly retentionMs: number;
  readonly log: Log;
  readonly roundMs?: number;
  /** How often what is old is removed. */
  readonly passMs?: number;
}

export class Housekeeping {
  readonly #options: HousekeepingOptions;
  readonly #tokens: WakeTokens;
  readonly #stop = new AbortController();
  readonly #pause = new WakeUp();
  readonly #rounds: Promise<void>;
  #lease: OwnLease | null = null;
  #lastPassMs = Number.NEGATIVE_INFINITY;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
    this.#tokens = new WakeTokens(options.bus.wake);
    this.#rounds = this.#run();
  }

  /** Whether it is this coordinator that does it. */
  get isHolder(): boolean {
    return this.#lease?.isHeld ?? false;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#pause.wake();
    await this.#rounds;
    await this.#lease?.release();
  }

  async #run(): Promise<void> {
    const { bus, log, roundMs = ROUND_MS } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        if (bus.isConnected && (await this.#hold())) await this.#round();
      } catch (caught) {
        if (!this.#stop.signal.aborted) log.warning('housekeeping failed', { error: toEspalierError(caught) });
      }
      if (!this.#stop.signal.aborted) await this.#pause.wait(roundMs);
    }
  }

  async #hold(): Promise<boolean> {
    if (this.isHolder) return true;
    const { bus, leases, leaseMs, id } = this.#options;
    const replaces = leases.revision(TASK_KEY);
    if (replaces !== null && !leases.hasLapsed(TASK_KEY)) return false;
    this.#lease = await OwnLease.take(bus.leases, { key: TASK_KEY, owner: id, leaseMs, replaces });
    return this.#lease !== null;
  }

  async #round(): Promise<void> {
    const { bus, store, retentionMs, log, passMs = RETENTION_MS } = this.#options;
    await this.#tokens.repair([...store.index.unfinished()].map(({ id }) => id));
    await this.#deleteLapsedLeases();
    if (performance.now() - this.#lastPassMs < passMs) return;
    this.#lastPassMs = performance.now();
    const nowMs = (await bus.objects.now()).getTime();
    const removed = await removeOld({ bus, store, retentionMs, now: () => nowMs, signal: this.#stop.signal });
    if (Object.values(removed).some((count) => count > 0)) log.info('removed what is old', { ...removed });
  }

  async #deleteLapsedLeases(): Promise<void> {
    const { bus, store, leases } = this.#options;
    const owners = new Set([...store.index.unfinished()].map(({ owner }) => owner));
    const isOwner = (key: string) => owners.has(key.slice(LEASE_PREFIX.length));
    for (const key of leases.present(LEASE_PREFIX)) {
      const revision = leases.revision(key);
      if (revision !== null && !isOwner(key) && leases.hasLapsed(key)) await bus.leases.delete(key, revision);
    }
    leases.forgetGone((key) => key === TASK_KEY || isOwner(key));
  }
}
