// What is removed: jobs that ended long ago, jobs and campaigns that were never whole or are empty, and blobs that no record
// names. Above the high mark the jobs that ended longest ago go before their time.
//
// A blob is named by whatever record has its digest anywhere in it, of whatever schema. One that is younger than YOUNG_MS
// may belong to an upload or a stage whose record comes later, and stays. The records are watched from before the first
// blob is removed until after the last one. Whoever names a blob that was there before puts or keeps it first, which makes it
// young: then the deletion, which the server takes only of the version that was looked at, is refused, or it came first and
// the blob is found gone.
import type { Bus, StoreUsage } from '../../shared/bus/bus.ts';
import type { ClusterJobStore } from './cluster-job-store.ts';
import { CAMPAIGN_PREFIX, JOB_PREFIX } from './job-index.ts';
import { hasEnded } from './transitions.ts';

/** Above this part of the limit of the store, or of the bucket of records, jobs go before their time, down to LOW_MARK. Below
 * the parts at which new work is refused: nobody should be refused for the sake of jobs that have ended. */
const HIGH_MARK = 0.75;
const LOW_MARK = 0.65;
const YOUNG_MS = 3_600_000;
/** A job that ended since then does not go for room, nor do blobs that were put since then: another job may be about to name
 * them. Longer than any lease, under which alone a stage can be committed after its blob was put. */
const SETTLED_MS = 900_000;
/** Bounds of one pass: the next one goes on. */
const MAX_JOBS = 200;
const MAX_BLOBS = 1_000;

export interface RetentionOptions {
  readonly bus: Pick<Bus, 'jobs' | 'objects'>;
  readonly store: ClusterJobStore;
  readonly retentionMs: number;
  /** Of the server of the bus, which dates blobs and versions of records. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export interface Removed {
  /** Ended jobs, by age, and above the high mark. */
  readonly jobs: number;
  readonly jobsForRoom: number;
  /** Records of submits that were cut off. */
  readonly leftovers: number;
  readonly campaigns: number;
  readonly blobs: number;
}

/** One pass. @throws EspalierError "bus_unavailable"; the next pass does what is left. */
export async function removeOld(options: RetentionOptions): Promise<Removed> {
  const jobs = await removeOldJobs(options);
  const leftovers = await removeLeftovers(options);
  const { count: jobsForRoom, digests } = await makeRoom(options);
  const campaigns = await removeEmptyCampaigns(options);
  const blobs = await removeBlobs(options, digests);
  return { jobs, jobsForRoom, leftovers, campaigns, blobs };
}

/** Ids of ended jobs with when they ended, longest ago first. */
function endedJobs(store: ClusterJobStore): { id: string; endedMs: number }[] {
  const ended: { id: string; endedMs: number }[] = [];
  for (const { id, state, finishedAt, isNewer } of store.index.jobs())
    if (!isNewer && hasEnded(state)) ended.push({ id, endedMs: Date.parse(finishedAt ?? '') || 0 });
  return ended.sort((a, b) => a.endedMs - b.endedMs);
}

async function removeOldJobs({ store, retentionMs, now, signal }: RetentionOptions): Promise<number> {
  const old = endedJobs(store).filter(({ endedMs }) => now() - endedMs > retentionMs);
  let count = 0;
  for (const { id } of old.slice(0, MAX_JOBS)) {
    signal.throwIfAborted();
    if (await store.removeEnded(id)) count += 1;
  }
  return count;
}

async function removeLeftovers({ bus, store, now }: RetentionOptions): Promise<number> {
  const left = [...store.index.jobs()].filter(
    (job) => !job.isNewer && job.attempt === 0 && !store.index.isListed(job) && isOld(job.createdAt, now()),
  );
  let count = 0;
  for (const { id, revision } of left.slice(0, MAX_JOBS)) {
    if (!(await isOldVersion(bus, JOB_PREFIX + id, revision, now()))) continue;
    if (!(await bus.jobs.delete(JOB_PREFIX + id, revision))) continue;
    store.index.removeJob(id);
    count += 1;
  }
  return count;
}

async function removeEmptyCampaigns({ bus, store, now }: RetentionOptions): Promise<number> {
  const empty = [...store.index.campaigns.values()].filter(
    ({ jobs, createdAt, isNewer }) =>
      !isNewer && isOld(createdAt, now()) && ![...jobs].some((id) => store.index.job(id) !== null),
  );
  let count = 0;
  for (const { id, revision } of empty.slice(0, MAX_JOBS)) {
    const key = CAMPAIGN_PREFIX + id;
    if ((await isOldVersion(bus, key, revision, now())) && (await bus.jobs.delete(key, revision))) count += 1;
  }
  return count;
}

/** Removes ended jobs, oldest first, until what they may have named alone makes up for what is above the low mark. */
async function makeRoom(options: RetentionOptions): Promise<{ count: number; digests: Set<string> }> {
  const { bus, store, now, signal } = options;
  const settled = endedJobs(store).filter(({ endedMs }) => now() - endedMs > SETTLED_MS);
  const digests = new Set<string>();
  let blobBytes = excess(await bus.objects.usage());
  let recordBytes = excess(await bus.jobs.usage());
  let count = 0;
  for (const { id } of blobBytes > 0 || recordBytes > 0 ? settled.slice(0, MAX_JOBS) : []) {
    if (blobBytes <= 0 && recordBytes <= 0) break;
    signal.throwIfAborted();
    const entry = await bus.jobs.get(JOB_PREFIX + id);
    if (!entry?.value || !(await store.removeEnded(id))) continue;
    count += 1;
    recordBytes -= entry.value.length;
    for (const digest of digestsIn(entry.value)) {
      if (digests.has(digest)) continue;
      digests.add(digest);
      blobBytes -= (await bus.objects.find(digest))?.sizeBytes ?? 0;
    }
  }
  return { count, digests };
}

function excess({ bytes, limitBytes }: StoreUsage): number {
  return bytes > limitBytes * HIGH_MARK ? bytes - limitBytes * LOW_MARK : 0;
}

/** @param freed were named by jobs that this pass removed: they need not be as old as others. */
async function removeBlobs({ bus, now, signal }: RetentionOptions, freed: ReadonlySet<string>): Promise<number> {
  // By digest, with the time that one must be older than: what is put again meanwhile counts as new and stays.
  const candidates = new Map<string, Date>();
  const old = new Date(now() - YOUNG_MS);
  const settled = new Date(now() - SETTLED_MS);
  for await (const { digest, storedAt } of bus.objects.list()) {
    const before = freed.has(digest) ? settled : old;
    if (storedAt < before) candidates.set(digest, before);
  }
  let count = 0;
  if (candidates.size > 0) {
    const watching = new AbortController();
    const named = new Set<string>();
    try {
      await bus.jobs.watch(
        JOB_PREFIX,
        ({ value }) => {
          for (const digest of value === null ? [] : digestsIn(value)) named.add(digest);
        },
        watching.signal,
      );
      for (const [digest, storedBefore] of candidates) {
        if (count >= MAX_BLOBS) break;
        signal.throwIfAborted();
        if (!named.has(digest) && (await bus.objects.delete(digest, storedBefore))) count += 1;
      }
    } finally {
      watching.abort();
    }
  }
  await bus.objects.removeOrphans(YOUNG_MS);
  return count;
}

/** Every text in the JSON that looks like a digest. */
export function digestsIn(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  // Copies: a match would keep the whole record in memory.
  return [...text.matchAll(/"([0-9a-f]{64})"/g)].map(([, digest]) => Buffer.from(digest, 'latin1').toString('latin1'));
}

/** Whether this version of a key is the newest, and was stored long ago by the server's clock: what a record says of its time
 * comes from a coordinator, whose clock may be wrong. */
async function isOldVersion(
  bus: RetentionOptions['bus'],
  key: string,
  revision: number,
  nowMs: number,
): Promise<boolean> {
  const entry = await bus.jobs.get(key);
  return entry !== null && entry.revision === revision && nowMs - entry.storedAt.getTime() > YOUNG_MS;
}

function isOld(createdAt: string, nowMs: number): boolean {
  return nowMs - (Date.parse(createdAt) || 0) > YOUNG_MS;
}
