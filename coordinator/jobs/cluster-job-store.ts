// JobStore over a bus: the index is fed by one watch of each kind of record, changes are compare-and-set loops.
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { EventWriter } from './event-writer.ts';
import { CAMPAIGN_PREFIX, JOB_PREFIX, JobIndex } from './job-index.ts';
import { jobPage } from './job-page.ts';
import type { JobRecord } from './job-record.ts';
import type { JobPage, JobStore, JobSummary, ListQuery, Submission, Submitted } from './job-store.ts';
import { decodeJob, encodeRecord, withCancelRequested } from './migrate-record.ts';
import type { OwnLease } from './own-lease.ts';
import { OwnedJob } from './owned-job.ts';
import { SILENT_STORE_LISTENER, type StoreListener } from './store-listener.ts';
import { submitCampaign } from './submit-campaign.ts';
import { cancelled, claimed, handedBack, hasEnded, retried } from './transitions.ts';

interface Known {
  readonly record: JobRecord;
  /** As it is stored: of this schema or an older one. */
  readonly bytes: Uint8Array;
  readonly revision: number;
}

export class ClusterJobStore implements JobStore {
  readonly index: JobIndex;
  readonly #bus: Bus;
  readonly #listener: StoreListener;
  readonly #watches = new AbortController();

  private constructor(bus: Bus, log: Log, listener: StoreListener) {
    this.#bus = bus;
    this.#listener = listener;
    this.index = new JobIndex(log);
  }

  /** Resolves when the index holds all that is stored. */
  static async open(bus: Bus, log: Log, listener = SILENT_STORE_LISTENER): Promise<ClusterJobStore> {
    const store = new ClusterJobStore(bus, log, listener);
    const { signal } = store.#watches;
    try {
      for (const prefix of [JOB_PREFIX, CAMPAIGN_PREFIX])
        await bus.jobs.watch(prefix, (entry) => store.index.applyEntry(entry), signal, {
          begin: () => store.index.beginAnew(prefix),
          end: () => store.index.endAnew(prefix),
        });
    } catch (caught) {
      store.close();
      throw caught;
    }
    return store;
  }

  close(): void {
    this.#watches.abort();
  }

  async submit(
    submission: Submission,
    requireBlobs: () => Promise<void> = async () => {},
    checkInputs: () => Promise<void> = async () => {},
  ): Promise<Submitted> {
    const submitted = await submitCampaign(this.#bus, this.index, submission, requireBlobs, checkInputs);
    if (submitted.created) for (const { state } of submitted.jobs) this.#listener.jobEntered(state);
    return submitted;
  }

  find(prefix: string): string {
    return this.index.find(prefix);
  }

  async read(prefix: string): Promise<JobRecord> {
    return (await this.#read(this.find(prefix))).record;
  }

  list(query: ListQuery): JobPage {
    return jobPage(this.index, query);
  }

  summary(id: string): JobSummary | null {
    return this.index.job(id);
  }

  campaignName(id: string): string {
    return this.index.campaigns.get(id)?.name ?? '';
  }

  onChange(listener: (id: string, job: JobSummary | null) => void): () => void {
    return this.index.onChange(listener);
  }

  cancel(prefix: string): Promise<JobRecord> {
    return this.#change(this.find(prefix), (record) => {
      if (record.state === 'cancelled') return record;
      if (record.state === 'queued') return cancelled(record, now());
      if (record.state === 'running') return record.cancelRequested ? record : { ...record, cancelRequested: true };
      throw wrongState(record, 'queued or running');
    });
  }

  async retry(prefix: string): Promise<JobRecord> {
    const record = await this.#change(this.find(prefix), (found) => {
      if (found.state !== 'failed' && found.state !== 'cancelled') throw wrongState(found, 'failed or cancelled');
      return retried(found);
    });
    await this.#bus.wake.add(record.id).catch(() => {});
    return record;
  }

  async delete(prefix: string): Promise<void> {
    const id = this.find(prefix);
    for (;;) {
      const { record, revision } = await this.#read(id);
      if (!hasEnded(record.state)) throw wrongState(record, 'done, failed or cancelled');
      if (await this.#remove(id, revision)) return;
    }
  }

  /** Removes a job unless it is gone or queued again by now. @returns whether it did. */
  async removeEnded(id: string): Promise<boolean> {
    const known = await this.#find(id);
    return known !== null && hasEnded(known.record.state) && this.#remove(id, known.revision);
  }

  async #remove(id: string, revision: number): Promise<boolean> {
    if (!(await this.#bus.jobs.delete(JOB_PREFIX + id, revision))) return false;
    this.index.removeJob(id);
    await this.#bus.events.remove(id);
    return true;
  }

  /** Claims a queued job, or a running one whose owner's lease has lapsed. @returns null when another change came between
   * or it is not to be claimed any more; "ended" when all that was left to do was to end it. @throws EspalierError
   * "bus_unavailable": it may then be claimed all the same, see `handBack`. */
  async claim(id: string, lease: OwnLease, hasLapsed: (owner: string) => boolean): Promise<OwnedJob | 'ended' | null> {
    const known = await this.#find(id);
    if (known === null) return null;
    const { state, lease: held } = known.record;
    const isFree = state === 'queued' || (state === 'running' && held !== null && hasLapsed(held.owner));
    if (!isFree || !lease.isHeld) return null;
    const record = claimed(known.record, lease.owner, now());
    const revision = await this.#bus.jobs.update(JOB_PREFIX + id, encodeRecord(record), known.revision);
    if (revision === null) {
      await this.#find(id);
      return null;
    }
    this.index.applyRecord(record, revision);
    if (state === 'running') this.#listener.jobTakenOver();
    if (record.state === 'running') {
      this.#listener.jobEntered('running');
      const parts = { bus: this.#bus, index: this.index, lease, listener: this.#listener };
      return new OwnedJob(record, revision, parts);
    }
    this.#tellState(record);
    return 'ended';
  }

  /** Queues a running job again that this owner has and no one runs: claimed by a write whose answer was lost, or left when
   * its lease was lost while the bus was away. */
  async handBack(id: string, owner: string): Promise<void> {
    const known = await this.#find(id);
    if (known === null || known.record.state !== 'running' || known.record.lease?.owner !== owner) return;
    const record = known.record.cancelRequested ? cancelled(known.record, now()) : handedBack(known.record);
    const revision = await this.#bus.jobs.update(JOB_PREFIX + id, encodeRecord(record), known.revision);
    if (revision === null) return;
    this.index.applyRecord(record, revision);
    this.#tellState(record);
  }

  async #change(id: string, change: (record: JobRecord) => JobRecord): Promise<JobRecord> {
    for (;;) {
      const { record, bytes, revision } = await this.#read(id);
      const next = change(record);
      if (next === record) return record;
      // A job that runs stays its owner's, which must be able to read it.
      const isOwned = record.state === 'running' && next.state === 'running';
      const value = isOwned ? withCancelRequested(JOB_PREFIX + id, bytes) : encodeRecord(next);
      const stored = await this.#bus.jobs.update(JOB_PREFIX + id, value, revision);
      if (stored === null) continue;
      this.index.applyRecord(next, stored);
      if (next.state !== record.state) this.#tellState(next);
      return next;
    }
  }

  /** The record in the bucket now. */
  async #read(id: string): Promise<Known> {
    const entry = await this.#bus.jobs.get(JOB_PREFIX + id);
    if (!entry?.value) {
      this.index.removeJob(id);
      throw new EspalierError('job_not_found', `${id}: no such job`);
    }
    const read = decodeJob(entry.key, entry.value);
    this.index.applyEntry(entry);
    if (read.kind === 'newer') throw new EspalierError('state_schema', `${id}: the record has schema ${read.schema}`);
    return { record: read.record, bytes: entry.value, revision: entry.revision };
  }

  async #find(id: string): Promise<Known | null> {
    try {
      return await this.#read(id);
    } catch (caught) {
      if (!(caught instanceof EspalierError) || caught.code === 'bus_unavailable') throw caught;
      return null;
    }
  }

  #tellState({ id, attempt, state, failure }: JobRecord): void {
    this.#listener.jobEntered(state);
    const event = { kind: 'state', state, ...(failure !== null && { error: failure }) } as const;
    new EventWriter(this.#bus.events, id).write(attempt, event);
  }
}

function wrongState({ id, state }: JobRecord, expected: string): EspalierError {
  return new EspalierError('job_state', `${id}: the job is ${state}, expected ${expected}`);
}

function now(): string {
  return new Date().toISOString();
}
