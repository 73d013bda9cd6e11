// Jobs as --json prints them. Names of fields are stable: scripts read them (docs/cli.md).
import type { Job } from './client/cluster-client.ts';

/** What `list`, `submit`, `cancel` and `retry` print of a job. */
export function jobJson(job: Job) {
  const { id, name, state, priority, attempt, cancelRequested, createdAt, error } = job;
  return {
    id,
    campaign: { id: job.campaignId, name: job.campaignName },
    ...{ name, state, priority, attempt, cancelRequested, createdAt },
    startedAt: job.startedAt || null,
    finishedAt: job.finishedAt || null,
    owner: job.owner || null,
    error: error && { code: error.code, message: error.message, action: error.action },
  };
}

/** What `status` and the end of `watch` print of a job. */
export function jobDetailsJson(job: Job) {
  return {
    ...jobJson(job),
    storedStages: job.storedStages,
    results: job.results.map(({ budget, files, reportJson }) => ({
      budget,
      files: files.map(({ name, digest, sizeBytes }) => ({ name, digest, sizeBytes })),
      report: parsed(reportJson),
    })),
  };
}

/** The value of JSON text from a peer, or null. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
