// Records as the API shows them.
import type { Job as JobMessage } from '../../shared/rpc/generated/espalier/v1/Job.ts';
import type { JobRecord } from '../jobs/job-record.ts';
import type { JobSummary } from '../jobs/job-store.ts';

/** A whole record, with its results. */
export function recordMessage(record: JobRecord, campaignName: string): JobMessage {
  return {
    ...common(record, campaignName),
    owner: record.lease?.owner ?? '',
    storedStages: Object.keys(record.stages),
    results: record.results.map(({ budget, files, report }) => ({
      budget,
      files: files.map(({ name, digest, sizeBytes }) => ({ name, digest, sizeBytes })),
      reportJson: JSON.stringify(report),
    })),
  };
}

/** What is known of a job without reading its record. */
export function summaryMessage(summary: JobSummary, campaignName: string): JobMessage {
  return { ...common(summary, campaignName), owner: summary.owner ?? '', storedStages: [...summary.stages] };
}

function common(job: JobRecord | JobSummary, campaignName: string): JobMessage {
  const { id, campaign, name, state, priority, createdAt, startedAt, finishedAt, attempt, cancelRequested } = job;
  return {
    ...{ id, name, state, priority, createdAt, attempt, cancelRequested, campaignName },
    campaignId: campaign,
    startedAt: startedAt ?? '',
    finishedAt: finishedAt ?? '',
    error: job.failure === null ? null : { ...job.failure },
  };
}
