// The claim loop of one coordinator: takes wake tokens while it has room, claims the best job that is free, runs it, and
// writes how it ended. The records are the truth and the tokens only save waiting: a sweep finds what no token told of.
//
//   open ──▶ draining   no more claims; running jobs are handed back
//                └────▶ closed   its lease is released
//
// A job here: claimed → running → finish | fail | requeue | endCancelled | handBack, or dropped in silence when its lease is
// lost.
import type { Bus, WakeToken } from '../shared/bus/bus.ts';
import { type EspalierError, toEspalierError } from '../shared/errors.ts';
import type { Log } from '../shared/log.ts';
import { traceFields } from '../shared/telemetry/trace.ts';
import { Backoff } from './jobs/backoff.ts';
import { chooseJob } from './jobs/choose-job.ts';
import type { ClusterJobStore } from './jobs/cluster-job-store.ts';
import { CoordinatorLease, LEASE_PREFIX } from './jobs/coordinator-lease.ts';
import type { HeldJob, StandAside } from './jobs/held-job.ts';
import type { JobResult } from './jobs/job-record.ts';
import type { JobSummary } from './jobs/job-store.ts';
import type { LeaseTable } from './jobs/lease-table.ts';
import { monotonicMs } from './jobs/own-lease.ts';
import type { OwnedJob } from './jobs/owned-job.ts';
import { mayPass } from './jobs/passing-errors.ts';
import { failureOf, hasEnded } from './jobs/transitions.ts';
import { WakeTokens } from './jobs/wake-tokens.ts';
import { WakeUp } from './jobs/wake-up.ts';

const TOKEN_WAIT_MS = 5_000;
/** At most; with short leases half a period, so that what a coordinator leaves behind is soon seen. */
const SWEEP_MS = 5_000;
/** Also how often a coordinator without room looks whether its fleet has grown. */
const RETRY_MS = 500;
/** Well within the time after which a token goes to another. */
const RENEW_TOKEN_MS = 5_000;
/** Claims that others were faster in, before the next token or sweep is waited for. */
const MAX_TRIES = 20;

export interface CoordinatorOptions {
  readonly bus: Bus;
  readonly store: ClusterJobStore;
  readonly leases: LeaseTable;
  /** Seen by users as the owner of jobs, with a random part for each start. */
  readonly id: string;
  readonly leaseMs: number;
  /** Jobs that it may run at once; asked each time. */
  readonly maxJobs: () => number;
  /** The same with those that stand aside; left out: these count as all others do. */
  readonly maxHeld?: () => number;
  /** Runs a job to its results; writes nothing of its end. */
  readonly runJob: (job: HeldJob, aside: StandAside) => Promise<readonly JobResult[]>;
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
  readonly sweepMs?: number;
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #log: Log;
  readonly #lease: CoordinatorLease;
  readonly #tokens: WakeTokens;
  readonly #backoff: Backoff;
  readonly #draining = new AbortController();
  readonly #held = new Map<string, { readonly job: OwnedJob; readonly ended: Promise<void> }>();
  readonly #claiming = new Set<string>();
  #aside = 0;
  readonly #pullPause = new WakeUp();
  readonly #sweepPause = new WakeUp();
  #seenFree = new Set<string>();
  #loops: Promise<unknown> = Promise.resolve();
  #end: Promise<void> | null = null;

  private constructor(options: CoordinatorOptions, lease: CoordinatorLease) {
    this.#options = options;
    this.#log = options.log;
    this.#lease = lease;
    this.#tokens = new WakeTokens(options.bus.wake);
    this.#backoff = new Backoff(options.now ?? monotonicMs);
  }

  /** Takes a lease and begins to claim. @throws EspalierError "bus_unavailable". */
  static async start(options: CoordinatorOptions): Promise<Coordinator> {
    const { bus, id, leaseMs, now = monotonicMs, log } = options;
    let sweepSoon = () => {};
    const onLost = (error: unknown) => {
      log.warning('lease lost', { error });
      sweepSoon();
    };
    const lease = await CoordinatorLease.take({ bucket: bus.leases, id, leaseMs, now, onLost });
    const coordinator = new Coordinator(options, lease);
    sweepSoon = () => coordinator.#sweepPause.wake();
    coordinator.#loops = Promise.all([coordinator.#pull(), coordinator.#sweep(bus.onReconnect(sweepSoon))]);
    return coordinator;
  }

  /** Its name in records. */
  get owner(): string {
    return this.#lease.current.owner;
  }

  get isLeaseHeld(): boolean {
    return this.#lease.current.isHeld;
  }

  get isDraining(): boolean {
    return this.#draining.signal.aborted;
  }

  /** Jobs that it runs. */
  get size(): number {
    return this.#held.size;
  }

  /** Stops claiming, hands running jobs back and gives the lease up. Ends when the last job has let go of its tasks. */
  drain(): Promise<void> {
    this.#end ??= this.#drain();
    return this.#end;
  }

  /** Lets go of jobs that still wait for the bus to be handed back: others take them when the lease lapses. */
  abandon(): void {
    for (const { job } of this.#held.values()) job.stop('lost');
  }

  async #drain(): Promise<void> {
    this.#draining.abort();
    for (const { job } of this.#held.values()) job.stop('draining');
    this.#pullPause.wake();
    this.#sweepPause.wake();
    await this.#loops;
    // One that was claimed meanwhile.
    for (const { job } of this.#held.values()) job.stop('draining');
    await Promise.all([...this.#held.values()].map(({ ended }) => ended));
    await this.#lease.current.release();
  }

  // Token by token, as long as there is room.
  async #pull(): Promise<void> {
    const { wake } = this.#options.bus;
    while (!this.isDraining) {
      let token: WakeToken | null = null;
      try {
        if (!this.#mayClaim) {
          await this.#pullPause.wait(RETRY_MS);
          continue;
        }
        token = await wake.next(TOKEN_WAIT_MS, this.#draining.signal);
        if (token === null) continue;
        if (this.isDraining) await token.giveBack(0);
        else if (!(await this.#startNext(token))) await this.#decline(token);
      } catch (caught) {
        this.#log.warning('no wake tokens', { error: toEspalierError(caught) });
        await token?.giveBack(RETRY_MS).catch(() => {});
        await this.#pullPause.wait(RETRY_MS);
      }
    }
  }

  // What no token tells of: a lost lease, jobs that this process has and does not run, jobs that stay free.
  async #sweep(stopListening: () => void): Promise<void> {
    while (!this.isDraining) {
      await this.#sweepPause.wait(this.#options.sweepMs ?? Math.min(SWEEP_MS, this.#options.leaseMs / 2));
      if (this.isDraining || !this.#options.bus.isConnected) continue;
      try {
        await this.#lease.ensure();
        await this.#handBackLeftovers();
        const free = [...this.#free()];
        // Of a queued job a token may be on its way; that of one whose coordinator is gone comes when its ack period is over.
        const waitsInVain = free.some(({ id, state }) => state === 'running' || this.#seenFree.has(id));
        this.#seenFree = new Set(free.map(({ id }) => id));
        // No more than there is room for now: what becomes free meanwhile is for tokens.
        let room = waitsInVain ? this.#room : 0;
        while (room-- > 0 && this.#mayClaim && (await this.#startNext(null)));
      } catch (caught) {
        this.#log.warning('sweep failed', { error: toEspalierError(caught) });
      }
    }
    stopListening();
  }

  async #handBackLeftovers(): Promise<void> {
    for (const { id, state, owner } of [...this.#options.store.index.unfinished()]) {
      const isLeft = state === 'running' && owner !== null && this.#lease.isMine(owner);
      if (isLeft && !this.#held.has(id) && !this.#claiming.has(id)) await this.#options.store.handBack(id, owner);
    }
  }

  /** Claims the best free job and runs it. @returns false when there is none. @throws EspalierError "bus_unavailable". */
  async #startNext(token: WakeToken | null): Promise<boolean> {
    const { store } = this.#options;
    for (let tries = 0; tries < MAX_TRIES && !this.isDraining; tries += 1) {
      const best = chooseJob(this.#free(), this.#runningOf());
      if (best === null) return false;
      this.#claiming.add(best.id);
      try {
        await this.#lookAgain(best);
        const job = await store.claim(best.id, this.#lease.current, (owner) => this.#hasLapsed(owner));
        if (job === null || job === 'ended') continue;
        this.#held.set(job.id, { job, ended: this.#run(job, token) });
        return true;
      } catch (caught) {
        const error = toEspalierError(caught);
        if (error.code === 'bus_unavailable') throw error;
        // One that cannot be claimed must not keep others from it.
        this.#log.error('job cannot be claimed', { job: best.id, error, stack: stackOfBug(error) });
        this.#backoff.note(best.id);
      } finally {
        this.#claiming.delete(best.id);
      }
    }
    return false;
  }

  async #run(job: OwnedJob, token: WakeToken | null): Promise<void> {
    const log = this.#log.child({ job: job.id, attempt: job.attempt, ...traceFields(job.record.traceparent) });
    log.info('job claimed', { name: job.record.name });
    const renewal = setInterval(() => token?.renew(), RENEW_TOKEN_MS);
    try {
      try {
        await job.finish(await this.#options.runJob(job, this.#standAside));
      } catch (caught) {
        await this.#endFailed(job, toEspalierError(caught), log);
      }
      log.info('job left', { state: job.record.state, stopped: job.stopped });
    } catch (caught) {
      log.warning('job dropped', { error: toEspalierError(caught) });
    } finally {
      clearInterval(renewal);
      this.#held.delete(job.id);
      this.#pullPause.wake();
    }
    if (hasEnded(job.record.state)) this.#backoff.forget(job.id);
    // A token that cannot be returned comes back by itself.
    await (hasEnded(job.record.state) ? token?.done() : token?.giveBack(0))?.catch(() => {});
  }

  async #endFailed(job: OwnedJob, error: EspalierError, log: Log): Promise<void> {
    if (job.stopped === 'lost') return;
    if (job.stopped === 'cancelled') return job.endCancelled();
    if (job.stopped === 'draining') return job.handBack();
    log.warning('job failed', { error, stack: stackOfBug(error) });
    if (!mayPass(error.code)) return job.fail(failureOf(error));
    this.#backoff.note(job.id);
    await job.requeue(failureOf(error));
  }

  // Before a job is taken from another: the watch of the leases may be behind, though this process is connected.
  async #lookAgain({ state, owner }: JobSummary): Promise<void> {
    if (state !== 'running' || owner === null) return;
    const { bus, leases } = this.#options;
    const entry = await bus.leases.get(LEASE_PREFIX + owner);
    if (entry !== null) leases.apply(entry);
  }

  get #mayClaim(): boolean {
    return !this.isDraining && this.#lease.current.isHeld && this.#room > 0;
  }

  /** Jobs that may be claimed now. */
  get #room(): number {
    const { maxJobs, maxHeld = maxJobs } = this.#options;
    const held = this.#held.size + this.#claiming.size;
    return Math.min(maxJobs() - (held - this.#aside), maxHeld() - held);
  }

  readonly #standAside: StandAside = async (part) => {
    this.#aside += 1;
    this.#pullPause.wake();
    try {
      return await part();
    } finally {
      this.#aside -= 1;
    }
  };

  /** Jobs that this coordinator may claim now. */
  *#free(): Iterable<JobSummary> {
    for (const job of this.#options.store.index.unfinished()) {
      const { id, state, owner } = job;
      if (this.#held.has(id) || this.#claiming.has(id) || !this.#backoff.isOver(id)) continue;
      if (state === 'queued' || (owner !== null && this.#hasLapsed(owner))) yield job;
    }
  }

  #hasLapsed(owner: string): boolean {
    // What this process left behind itself is handed back, which is no death.
    return !this.#lease.isMine(owner) && this.#options.leases.hasLapsed(LEASE_PREFIX + owner);
  }

  #runningOf(): Map<string, number> {
    const running = new Map<string, number>();
    for (const { state, campaign } of this.#options.store.index.unfinished())
      if (state === 'running') running.set(campaign, (running.get(campaign) ?? 0) + 1);
    return running;
  }

  async #decline(token: WakeToken): Promise<void> {
    const { index } = this.#options.store;
    await this.#tokens.decline(token, [...index.unfinished()].length, index.job(token.id) !== null);
  }
}

function stackOfBug(error: EspalierError): string | undefined {
  return error.code === 'internal' ? error.stack : undefined;
}
