// The job that this coordinator has claimed, and the changes that only its owner makes.
//
//   held ──▶ stopping   `stop`: its lease is lost, its user cancelled it, or the coordinator drains; `signal` aborts
//     └────────┴─────▶ ended   one of finish, fail, requeue, endCancelled, handBack went through, or the lease is lost
import { setTimeout as pause } from 'node:timers/promises';
import type { Bus, KeyEntry } from '../../shared/bus/bus.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { JobEvent } from '../job-events.ts';
import { EventWriter } from './event-writer.ts';
import type { HeldJob, LifeEvent } from './held-job.ts';
import { JOB_PREFIX, type JobIndex } from './job-index.ts';
import type { JobFailure, JobRecord, JobResult, JobState, StageEntry } from './job-record.ts';
import type { JobSummary } from './job-store.ts';
import { decodeJob, encodeRecord } from './migrate-record.ts';
import type { OwnLease } from './own-lease.ts';
import type { StoreListener } from './store-listener.ts';
import { cancelled, failed, finished, handedBack, requeued, withStage } from './transitions.ts';

/** Between tries while the bus is away. */
const RETRY_MS = 250;
const FLUSH_MS = 2_000;

export type StopReason = 'lost' | 'cancelled' | 'draining';

export interface OwnedParts {
  readonly bus: Bus;
  readonly index: JobIndex;
  readonly lease: OwnLease;
  readonly listener: StoreListener;
}

export class OwnedJob implements HeldJob {
  readonly id: string;
  readonly attempt: number;
  readonly #parts: OwnedParts;
  readonly #abort = new AbortController();
  readonly #events: EventWriter;
  readonly #stopListening: () => void;
  #record: JobRecord;
  #revision: number;
  #stopped: StopReason | null = null;
  #isEnding = false;
  #hasEnded = false;
  /** The newest change; each waits for the one before. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(record: JobRecord, revision: number, parts: OwnedParts) {
    this.id = record.id;
    this.attempt = record.attempt;
    this.#record = record;
    this.#revision = revision;
    this.#parts = parts;
    this.#events = new EventWriter(parts.bus.events, record.id);
    const onLost = () => this.stop('lost');
    parts.lease.lost.addEventListener('abort', onLost, { once: true });
    const stopIndex = parts.index.onChange((id, job) => id === this.id && this.#follow(job));
    this.#stopListening = () => {
      parts.lease.lost.removeEventListener('abort', onLost);
      stopIndex();
    };
    this.emit({ kind: 'state', state: 'running', owner: parts.lease.owner });
    this.#follow(parts.index.job(this.id));
    if (parts.lease.lost.aborted) this.stop('lost');
  }

  get record(): JobRecord {
    return this.#record;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Why it stops, or null. */
  get stopped(): StopReason | null {
    return this.#stopped;
  }

  stop(reason: StopReason): void {
    if (this.#hasEnded || this.#stopped === 'lost') return;
    // A lost lease ends everything, also what is under way after a cancel or a drain.
    if (this.#stopped === null || reason === 'lost') this.#stopped = reason;
    if (reason === 'lost') {
      this.#parts.listener.leaseLost();
      this.#end();
    }
    this.#abort.abort(
      reason === 'lost'
        ? new EspalierError('lease_lost', `${this.id}: attempt ${this.attempt} is no longer this coordinator's`)
        : new EspalierError(
            'cancelled',
            `${this.id}: ${reason === 'cancelled' ? 'cancelled' : 'the coordinator drains'}`,
          ),
    );
  }

  emit(event: JobEvent | LifeEvent): void {
    if (this.#stopped !== 'lost') this.#events.write(this.attempt, event);
  }

  async commitStage(name: string, entry: StageEntry | null): Promise<void> {
    await this.#change((record) => withStage(record, name, entry), { goesOn: true });
  }

  finish(results: readonly JobResult[]): Promise<void> {
    return this.#endWith((record) => finished(record, results, now()));
  }

  fail(failure: JobFailure): Promise<void> {
    return this.#endWith((record) => failed(record, failure, now()));
  }

  /** For an error that may pass: queued again, or failed after too many of them. */
  requeue(failure: JobFailure): Promise<void> {
    this.emit({ kind: 'log', text: `handed back: [${failure.code}] ${failure.message}` });
    return this.#endWith((record) => requeued(record, failure, now()));
  }

  endCancelled(): Promise<void> {
    return this.#endWith((record) => cancelled(record, now()));
  }

  handBack(): Promise<void> {
    return this.#endWith(handedBack);
  }

  async #endWith(change: (record: JobRecord) => JobRecord): Promise<void> {
    this.#isEnding = true;
    try {
      await this.#change(change, { goesOn: false });
    } finally {
      this.#isEnding = false;
    }
    const { state, failure, startedAt, finishedAt } = this.#record;
    const { listener } = this.#parts;
    listener.jobEntered(state);
    if (state === 'done' && startedAt !== null && finishedAt !== null)
      listener.jobDone((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000);
    this.emit({ kind: 'state', state, ...(failure !== null && { error: failure }) });
    this.#end();
    await this.#events.flush(FLUSH_MS);
  }

  #change(change: (record: JobRecord) => JobRecord, options: { goesOn: boolean }): Promise<void> {
    const done = this.#changes.then(() => this.#compareAndSet(change, options.goesOn));
    this.#changes = done.catch(() => {});
    return done;
  }

  async #compareAndSet(change: (record: JobRecord) => JobRecord, goesOn: boolean): Promise<void> {
    const { bus, index } = this.#parts;
    const key = JOB_PREFIX + this.id;
    for (;;) {
      this.#requireHeld(goesOn);
      const next = change(this.#record);
      const bytes = encodeRecord(next);
      try {
        const revision = await bus.jobs.update(key, bytes, this.#revision);
        if (revision !== null) {
          this.#record = next;
          this.#revision = revision;
          index.applyRecord(next, revision);
          return;
        }
        if (this.#adopt(await bus.jobs.get(key), next.state)) return;
      } catch (caught) {
        if (toEspalierError(caught).code !== 'bus_unavailable') throw caught;
        // Whether it was stored is unknown: the next try is refused if it was, and the record is read again.
        await pause(RETRY_MS);
      }
    }
  }

  // Takes over a record that another change has made. True when it shows that our own change, whose answer was lost, had
  // ended the claim.
  #adopt(entry: KeyEntry | null, wanted: JobState): boolean {
    const read = entry?.value ? decodeJob(entry.key, entry.value) : null;
    const record = read?.kind === 'known' ? read.record : null;
    const isOurs = record?.state === 'running' && this.#isLeaseOf(record.lease);
    const isEnded =
      record !== null && wanted !== 'running' && record.state === wanted && record.attempt === this.attempt;
    if (!isOurs && !isEnded) {
      this.stop('lost');
      throw this.#abort.signal.reason;
    }
    this.#record = record;
    this.#revision = entry!.revision;
    this.#parts.index.applyEntry(entry!);
    if (isOurs && record.cancelRequested) this.stop('cancelled');
    return isEnded;
  }

  #requireHeld(goesOn: boolean): void {
    if (!this.#parts.lease.isHeld) this.stop('lost');
    if (this.#stopped === 'lost' || (goesOn && this.#stopped !== null)) throw this.#abort.signal.reason;
    if (this.#hasEnded) throw new EspalierError('internal', `${this.id}: changed after its end`);
  }

  #follow(job: JobSummary | null): void {
    // The answer to a change that ends the claim decides, though the watch may show it first.
    if (this.#isEnding || (job !== null && job.revision <= this.#revision)) return;
    if (job === null || job.attempt !== this.attempt || job.owner !== this.#parts.lease.owner) this.stop('lost');
    else if (job.cancelRequested) this.stop('cancelled');
  }

  #isLeaseOf(lease: JobRecord['lease']): boolean {
    return lease !== null && lease.owner === this.#parts.lease.owner && lease.attempt === this.attempt;
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stopListening();
  }
}

function now(): string {
  return new Date().toISOString();
}
