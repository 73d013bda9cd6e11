// Runs a job that this coordinator holds: joins what the record says with what the process has.
import { runClusterJob } from './cluster-job.ts';
import type { JobResources } from './job-resources.ts';
import type { HeldJob } from './jobs/held-job.ts';
import type { JobResult } from './jobs/job-record.ts';
import type { ScratchFolders } from './jobs/scratch-folders.ts';
import type { Fleet } from './workers/fleet.ts';

export interface JobEnvironment {
  readonly resources: JobResources;
  readonly fleet: Fleet;
  readonly scratch: ScratchFolders;
}

/** See runClusterJob. */
export function runHeldJob(job: HeldJob, { resources, fleet, scratch }: JobEnvironment): Promise<readonly JobResult[]> {
  const { id, campaign, priority, spec, stages, attempt } = job.record;
  return runClusterJob({
    ...{ id, campaign, priority, spec, stages, resources, fleet },
    scratch: scratch.pathFor(id, attempt),
    signal: job.signal,
    onEvent: (event) => job.emit(event),
    commitStage: (name, entry) => job.commitStage(name, entry),
  });
}
