// Stores a campaign: all job records, then the campaign's own, which is the commit. What is cut off in between is never run
// and is collected later. The ids come from the client's key and the content, so that two submits under one key cannot
// mix: of different contents, at most one is committed; the same one meets its own records.
import { createHash } from 'node:crypto';
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { inParallel } from './in-parallel.ts';
import { CAMPAIGN_PREFIX, JOB_PREFIX, type JobIndex } from './job-index.ts';
import { type CampaignRecord, type JobRecord, RECORD_SCHEMA } from './job-record.ts';
import type { Submission, Submitted, SubmittedJob } from './job-store.ts';
import { decodeCampaign, decodeJob, encodeRecord } from './migrate-record.ts';
import { requireRoom } from './require-room.ts';

const PARALLEL = 16;
/** Of a new record: stages, results and a failure have to fit in beside it, or it could never end. */
const MOST_NEW_BYTES = 256 * 1024;
/** New records may fill this part of their bucket: the rest is for what the jobs that are there still write. */
const ROOM_FOR_NEW = { name: 'bucket of records', share: 0.8 };

/** See JobStore.submit. */
export async function submitCampaign(
  bus: Bus,
  index: JobIndex,
  submission: Submission,
  requireBlobs: () => Promise<void>,
  checkInputs: () => Promise<void>,
): Promise<Submitted> {
  const id = sha256(submission.clientKey).slice(0, 16);
  const key = CAMPAIGN_PREFIX + id;
  const content = sha256(JSON.stringify([submission.name, submission.jobs]));
  const known = await bus.jobs.get(key);
  if (known?.value) return existing(bus, decodeCampaign(key, known.value), content);

  await checkInputs();
  const createdAt = new Date().toISOString();
  const jobs = submission.jobs.map((job, position) => newRecord(submission, job, { id, content, position, createdAt }));
  const campaign: CampaignRecord = {
    schema: RECORD_SCHEMA,
    id,
    name: submission.name,
    createdAt,
    jobs: jobs.map((job) => job.id),
    content,
  };
  const bytes = encodeRecord(campaign);
  await requireRoom(
    bus.jobs,
    ROOM_FOR_NEW,
    jobs.reduce((sum, job) => sum + newBytes(job), bytes.length),
  );
  await inParallel(jobs, PARALLEL, (job) => storeJob(bus, index, job));
  // After the records: from here on housekeeping sees that they need these blobs.
  await requireBlobs();
  const revision = await bus.jobs.create(key, bytes);
  if (revision === null) {
    const winner = await bus.jobs.get(key);
    return existing(bus, winner?.value ? decodeCampaign(key, winner.value) : campaign, content);
  }
  index.applyEntry({ key, value: bytes, revision });
  // A reminder that is lost is made good by the sweep of a coordinator.
  await inParallel(jobs, PARALLEL, (job) => bus.wake.add(job.id).catch(() => {}));
  return { campaign, jobs, created: true };
}

/** @throws EspalierError "limit_exceeded". */
function newBytes(job: JobRecord): number {
  const { length } = encodeRecord(job);
  if (length <= MOST_NEW_BYTES) return length;
  throw new EspalierError(
    'limit_exceeded',
    `${job.name}: the record has ${length} bytes, expected at most ${MOST_NEW_BYTES}`,
    { action: 'use fewer budgets a job, and shorter names' },
  );
}

/** Stores one job unless it is there. One that the same submit left when it was cut off is written anew: housekeeping, which
 * may be about to collect it, then finds another revision. One that has begun to run belongs to a submit that was faster. */
async function storeJob(bus: Bus, index: JobIndex, job: JobRecord): Promise<void> {
  const key = JOB_PREFIX + job.id;
  const bytes = encodeRecord(job);
  for (;;) {
    const created = await bus.jobs.create(key, bytes);
    if (created !== null) return index.applyRecord(job, created);
    const entry = await bus.jobs.get(key);
    if (!entry?.value) continue;
    const read = decodeJob(key, entry.value);
    if (read.kind !== 'known' || read.record.state !== 'queued' || read.record.attempt > 0) return;
    const updated = await bus.jobs.update(key, bytes, entry.revision);
    if (updated !== null) return index.applyRecord(job, updated);
  }
}

async function existing(bus: Bus, campaign: CampaignRecord, content: string): Promise<Submitted> {
  if (campaign.schema > RECORD_SCHEMA)
    throw new EspalierError('state_schema', `${campaign.id}: the campaign has schema ${campaign.schema}`);
  if (campaign.content !== null && campaign.content !== content)
    throw new EspalierError('job_state', `${campaign.id}: another campaign was submitted under this key`, {
      action: 'use another key, or submit the same content',
    });
  const jobs = await inParallel(campaign.jobs, PARALLEL, async (id) => {
    const entry = await bus.jobs.get(JOB_PREFIX + id);
    const read = entry?.value ? decodeJob(entry.key, entry.value) : null;
    return read?.kind === 'known' ? [read.record] : [];
  });
  return { campaign, jobs: jobs.flat(), created: false };
}

function newRecord(
  { traceparent }: Submission,
  { name, spec, priority }: SubmittedJob,
  { id: campaign, content, position, createdAt }: { id: string; content: string; position: number; createdAt: string },
): JobRecord {
  return {
    schema: RECORD_SCHEMA,
    id: sha256(`${campaign} ${content} ${position}`).slice(0, 16),
    campaign,
    name,
    position,
    spec,
    priority,
    state: 'queued',
    cancelRequested: false,
    createdAt,
    startedAt: null,
    finishedAt: null,
    attempt: 0,
    deaths: 0,
    requeues: 0,
    stageAttempt: 0,
    lease: null,
    stages: {},
    results: [],
    failure: null,
    traceparent,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
