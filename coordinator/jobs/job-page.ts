// Pages of the list of jobs. A token names the last job of the page before, by what lists are sorted by, so that a page is
// right also when that job has been deleted since.
import { EspalierError } from '../../shared/errors.ts';
import { compareNewestFirst, type JobIndex, type ListKey } from './job-index.ts';
import type { JobPage, JobSummary, ListQuery } from './job-store.ts';

/** See JobStore.list. Jobs whose campaign was never stored are left out. */
export function jobPage(index: JobIndex, query: ListQuery): JobPage {
  const campaign = query.campaign === null ? null : index.findCampaign(query.campaign);
  const after = query.pageToken === '' ? null : readToken(query.pageToken);
  const isWanted = (job: JobSummary) =>
    (campaign === null || job.campaign === campaign) &&
    (query.states.length === 0 || query.states.includes(job.state)) &&
    (index.isListed(job) || job.isNewer);

  const jobs: JobSummary[] = [];
  for (const id of index.newestFirst()) {
    const job = index.job(id)!;
    if ((after !== null && compareNewestFirst(job, after) <= 0) || !isWanted(job)) continue;
    if (jobs.length === query.pageSize) return { jobs, nextPageToken: writeToken(jobs.at(-1)!) };
    jobs.push(job);
  }
  return { jobs, nextPageToken: '' };
}

function writeToken({ createdAt, campaign, position, id }: ListKey): string {
  return Buffer.from(JSON.stringify([createdAt, campaign, position, id])).toString('base64url');
}

function readToken(token: string): ListKey {
  try {
    const [createdAt, campaign, position, id, ...more] = JSON.parse(Buffer.from(token, 'base64url').toString());
    const texts = [createdAt, campaign, id];
    if (more.length === 0 && Number.isSafeInteger(position) && texts.every((text) => typeof text === 'string'))
      return { createdAt, campaign, position, id };
  } catch {
    // Told below.
  }
  throw new EspalierError('usage', `got page token "${token.slice(0, 40)}", expected one that a list gave`);
}
