// What one coordinator holds in memory of all jobs and campaigns: summaries, kept current by the bucket's watch and by its
// own writes, whichever comes first. A change is taken only when its revision is higher than the one that is known.
import type { KeyEntry } from '../../shared/bus/bus.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { compareText } from './compare-text.ts';
import { type JobRecord, RECORD_SCHEMA } from './job-record.ts';
import type { JobSummary } from './job-store.ts';
import { decodeCampaign, decodeJob } from './migrate-record.ts';
import { hasEnded } from './transitions.ts';

export const JOB_PREFIX = 'job.';
export const CAMPAIGN_PREFIX = 'campaign.';

export interface CampaignSummary {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  readonly jobs: ReadonlySet<string>;
  readonly revision: number;
  /** Of a schema that this program does not know. */
  readonly isNewer: boolean;
}

export class JobIndex {
  readonly #log: Log;
  readonly #jobs = new Map<string, JobSummary>();
  readonly #unfinished = new Set<string>();
  readonly #campaigns = new Map<string, CampaignSummary>();
  readonly #listeners = new Set<(id: string, job: JobSummary | null) => void>();
  /** While the bucket is told anew: keys that were known before and were not told yet. */
  #unconfirmed: Set<string> | null = null;
  /** Ids, newest first; null: to be sorted anew. What they are sorted by never changes. */
  #sorted: string[] | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A version of a key, from the watch or from a read. What cannot be read is logged and taken for not there. */
  applyEntry({ key, value, revision }: KeyEntry): void {
    this.#unconfirmed?.delete(key);
    try {
      if (key.startsWith(JOB_PREFIX)) this.#applyJob(key.slice(JOB_PREFIX.length), value, revision);
      else if (key.startsWith(CAMPAIGN_PREFIX)) this.#applyCampaign(key.slice(CAMPAIGN_PREFIX.length), value, revision);
    } catch (caught) {
      this.#log.error('stored record cannot be read', { key, error: toEspalierError(caught) });
    }
  }

  /** The bucket was put back from a copy: its records count, also with lower revisions. Owners of jobs find out with their
   * next write whether the job is still theirs. @param prefix of the keys that follow. */
  beginAnew(prefix: string): void {
    this.#log.warning('the bucket of jobs is another one than before: all of it is read again', { prefix });
    this.#unconfirmed ??= new Set();
    if (prefix === JOB_PREFIX)
      for (const [id, job] of this.#jobs) {
        this.#jobs.set(id, { ...job, revision: 0 });
        this.#unconfirmed.add(prefix + id);
      }
    if (prefix === CAMPAIGN_PREFIX)
      for (const [id, campaign] of this.#campaigns) {
        this.#campaigns.set(id, { ...campaign, revision: 0 });
        this.#unconfirmed.add(prefix + id);
      }
  }

  /** All keys under the prefix have been told. */
  endAnew(prefix: string): void {
    for (const key of [...(this.#unconfirmed ?? [])].filter((known) => known.startsWith(prefix))) {
      this.#unconfirmed?.delete(key);
      const id = key.slice(prefix.length);
      if (prefix === CAMPAIGN_PREFIX) this.#campaigns.delete(id);
      else this.removeJob(id);
    }
    if (this.#unconfirmed?.size === 0) this.#unconfirmed = null;
  }

  /** A record as this coordinator has just written it. */
  applyRecord(record: JobRecord, revision: number): void {
    this.#unconfirmed?.delete(JOB_PREFIX + record.id);
    this.#set(summarize(record, revision));
  }

  removeJob(id: string): void {
    this.#unfinished.delete(id);
    if (!this.#jobs.delete(id)) return;
    this.#sorted = null;
    this.#tell(id, null);
  }

  job(id: string): JobSummary | null {
    return this.#jobs.get(id) ?? null;
  }

  get campaigns(): ReadonlyMap<string, CampaignSummary> {
    return this.#campaigns;
  }

  jobs(): Iterable<JobSummary> {
    return this.#jobs.values();
  }

  /** Jobs that count and have not ended: queued and running ones whose campaign lists them. */
  *unfinished(): Iterable<JobSummary> {
    for (const id of this.#unfinished) {
      const job = this.#jobs.get(id)!;
      if (!job.isNewer && this.isListed(job)) yield job;
    }
  }

  isListed(job: JobSummary): boolean {
    return this.#campaigns.get(job.campaign)?.jobs.has(job.id) ?? false;
  }

  /** Ids of all jobs, newest first, in a campaign in its order. */
  newestFirst(): readonly string[] {
    this.#sorted ??= [...this.#jobs.values()].sort(compareNewestFirst).map(({ id }) => id);
    return this.#sorted;
  }

  /** The one job whose id begins so. @throws EspalierError "job_not_found". */
  find(prefix: string): string {
    return findOne(prefix, this.#jobs.keys(), 'job');
  }

  /** The one campaign whose id begins so. @throws EspalierError "job_not_found". */
  findCampaign(prefix: string): string {
    return findOne(prefix, this.#campaigns.keys(), 'campaign');
  }

  onChange(listener: (id: string, job: JobSummary | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #applyJob(id: string, value: Uint8Array | null, revision: number): void {
    if ((this.#jobs.get(id)?.revision ?? 0) >= revision) return;
    if (value === null) {
      this.removeJob(id);
      return;
    }
    const read = decodeJob(JOB_PREFIX + id, value);
    this.#set(read.kind === 'known' ? summarize(read.record, revision) : summarizeNewer(id, read.shared, revision));
  }

  #applyCampaign(id: string, value: Uint8Array | null, revision: number): void {
    if ((this.#campaigns.get(id)?.revision ?? 0) >= revision) return;
    if (value === null) this.#campaigns.delete(id);
    else {
      const { name, createdAt, jobs, schema } = decodeCampaign(CAMPAIGN_PREFIX + id, value);
      const isNewer = schema > RECORD_SCHEMA;
      this.#campaigns.set(id, { id, name, createdAt, jobs: new Set(jobs), revision, isNewer });
    }
  }

  #set(job: JobSummary): void {
    const known = this.#jobs.get(job.id);
    if (known !== undefined && known.revision >= job.revision) return;
    this.#jobs.set(job.id, job);
    if (known === undefined) this.#sorted = null;
    if (hasEnded(job.state)) this.#unfinished.delete(job.id);
    else this.#unfinished.add(job.id);
    this.#tell(job.id, job);
  }

  #tell(id: string, job: JobSummary | null): void {
    for (const listener of this.#listeners) listener(id, job);
  }
}

export function summarize(record: JobRecord, revision: number): JobSummary {
  return {
    id: record.id,
    campaign: record.campaign,
    name: record.name,
    position: record.position,
    priority: record.priority,
    state: record.state,
    cancelRequested: record.cancelRequested,
    createdAt: record.createdAt,
    startedAt: record.startedAt,
    finishedAt: record.finishedAt,
    attempt: record.attempt,
    owner: record.lease?.owner ?? null,
    failure: record.failure,
    stages: hasEnded(record.state) ? [] : Object.keys(record.stages),
    revision,
    isNewer: false,
  };
}

function summarizeNewer(id: string, shared: Partial<JobRecord>, revision: number): JobSummary {
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  return {
    id,
    campaign: text(shared.campaign),
    name: text(shared.name),
    position: 0,
    priority: 0,
    state: 'queued',
    cancelRequested: false,
    createdAt: text(shared.createdAt),
    startedAt: null,
    finishedAt: null,
    attempt: 0,
    owner: null,
    failure: null,
    stages: [],
    revision,
    isNewer: true,
  };
}

/** Of a job, what lists are sorted by; it never changes. */
export type ListKey = Pick<JobSummary, 'createdAt' | 'campaign' | 'position' | 'id'>;

export function compareNewestFirst(a: ListKey, b: ListKey): number {
  return (
    compareText(b.createdAt, a.createdAt) ||
    compareText(a.campaign, b.campaign) ||
    a.position - b.position ||
    compareText(a.id, b.id)
  );
}

function findOne(prefix: string, ids: Iterable<string>, what: string): string {
  if (!/^[0-9a-f]{4,16}$/.test(prefix))
    throw new EspalierError(
      'job_not_found',
      `"${prefix}": no id of a ${what}; expected its first 4 to 16 hexadecimal digits`,
    );
  const found: string[] = [];
  for (const id of ids) if (id.startsWith(prefix)) found.push(id);
  if (found.length === 1) return found[0];
  if (found.length === 0) throw new EspalierError('job_not_found', `${prefix}: no ${what} has an id that begins so`);
  const named = found.sort().slice(0, 8).join(', ');
  const more = found.length > 8 ? ` and ${found.length - 8} more` : '';
  throw new EspalierError('job_not_found', `${prefix}: begins the ids of ${found.length} ${what}s: ${named}${more}`, {
    action: 'give more digits',
  });
}
