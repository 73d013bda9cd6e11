// Jobs.Submit: the campaign is checked with the schema and the code of the client, whatever that has found. Files that were
// uploaded are taken at their digests: their content is looked at when a job runs, or here for jobs that name a volume too.
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { SubmitRequest__Output } from '../../shared/rpc/generated/espalier/v1/SubmitRequest.ts';
import { throwProblems } from '../campaign/campaign-problem.ts';
import { checkSchema } from '../campaign/check-schema.ts';
import type { VolumeChecks } from '../campaign/check-volumes.ts';
import { expandCampaign } from '../campaign/expand-campaign.ts';
import { jobSpecs } from '../campaign/job-specs.ts';
import type { FileRef } from '../jobs/job-record.ts';
import type { JobStore, Submitted } from '../jobs/job-store.ts';
import { requireRoom } from '../jobs/require-room.ts';
import { LARGEST_FILE_BYTES, MOST_CAMPAIGN_CHARACTERS, MOST_INPUTS, ROOM_FOR_NEW } from './limits.ts';
import { checkClientKey } from './request-fields.ts';

const BLOBS_AT_ONCE = 16;
/** Digests in one message. */
const MOST_TOLD = 16;

export interface SubmitParts {
  readonly store: Pick<JobStore, 'submit'>;
  readonly objects: Bus['objects'];
  readonly volumes: { has(name: string): boolean };
  readonly volumeChecks: Pick<VolumeChecks, 'check'>;
}

/** @throws EspalierError "usage", "campaign_format" with all that is wrong, "blob_missing", "store_full", "job_state". */
export async function submit(
  { store, objects, volumes, volumeChecks }: SubmitParts,
  request: SubmitRequest__Output,
  /** Of the span that this is, checked. */
  traceparent: string,
  signal: AbortSignal,
): Promise<Submitted> {
  const clientKey = checkClientKey(request.clientKey);
  if (request.inputs.length > MOST_INPUTS)
    throw new EspalierError('limit_exceeded', `got ${request.inputs.length} inputs, expected at most ${MOST_INPUTS}`);
  const checked = checkSchema(parseJson(request.campaignJson));
  if ('problems' in checked) {
    throwProblems(checked.problems);
    throw new EspalierError('internal', 'campaign: refused without a problem');
  }
  const { campaign } = checked;
  const expanded = expandCampaign(campaign);
  throwProblems(expanded.problems);
  const specs = jobSpecs(expanded.jobs, { inputs: request.inputs, volumes, largestFileBytes: LARGEST_FILE_BYTES });
  throwProblems(specs.problems);
  await requireRoom(objects, ROOM_FOR_NEW, 0);
  return store.submit(
    {
      clientKey,
      name: campaign.name,
      jobs: specs.jobs,
      traceparent,
    },
    () => requireBlobs(objects, specs.files),
    async () =>
      throwProblems(await volumeChecks.check({ file: campaign, jobs: expanded.jobs, submitted: specs.jobs }, signal)),
  );
}

function parseJson(text: string): unknown {
  if (text.length > MOST_CAMPAIGN_CHARACTERS)
    throw new EspalierError(
      'limit_exceeded',
      `campaign_json: got ${text.length} characters, expected at most ${MOST_CAMPAIGN_CHARACTERS}`,
    );
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EspalierError('campaign_format', `campaign_json: ${(cause as Error).message.slice(0, 200)}`, { cause });
  }
}

/** @throws EspalierError "blob_missing" that tells of all that are not there, "campaign_format". */
async function requireBlobs(objects: Bus['objects'], files: readonly FileRef[]): Promise<void> {
  const missing: FileRef[] = [];
  for (let start = 0; start < files.length; start += BLOBS_AT_ONCE) {
    const some = files.slice(start, start + BLOBS_AT_ONCE);
    const there = await Promise.all(some.map((file) => isThere(objects, file)));
    missing.push(...some.filter((_, i) => !there[i]));
  }
  if (missing.length === 0) return;
  const told = missing.slice(0, MOST_TOLD).map(({ name, digest }) => `${digest} (${name})`);
  if (missing.length > told.length) told.push(`and ${missing.length - told.length} more`);
  throw new EspalierError(
    'blob_missing',
    `${missing.length} of ${files.length} files are not in the store: ${told.join(', ')}`,
    { action: 'send them, and submit again' },
  );
}

async function isThere(objects: Bus['objects'], { name, digest, sizeBytes }: FileRef): Promise<boolean> {
  // Kept: a deletion that has begun to look finds it new, or this finds it gone.
  const found = await objects.keep(digest);
  if (found === null || found.sizeBytes === sizeBytes) return found !== null;
  throw new EspalierError(
    'campaign_format',
    `${digest}: ${name}: got ${sizeBytes} bytes, the blob has ${found.sizeBytes}`,
  );
}
