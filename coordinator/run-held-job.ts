// Runs a job that this coordinator holds: joins what the record says with what the process has.
import type { Tracer } from '../shared/telemetry/trace.ts';
import { runClusterJob } from './cluster-job.ts';
import type { JobResources } from './job-resources.ts';
import { type JobListener, JobTelemetry } from './job-telemetry.ts';
import type { HeldJob, StandAside } from './jobs/held-job.ts';
import type { JobResult } from './jobs/job-record.ts';
import type { ScratchFolders } from './jobs/scratch-folders.ts';
import type { Fleet } from './workers/fleet.ts';

export interface JobEnvironment {
  readonly resources: JobResources;
  readonly fleet: Fleet;
  readonly scratch: ScratchFolders;
  readonly tracer: Tracer;
  readonly listener: JobListener;
  readonly aside: StandAside;
}

/** See runClusterJob. */
export async function runHeldJob(job: HeldJob, environment: JobEnvironment): Promise<readonly JobResult[]> {
  const { resources, fleet, scratch, tracer, listener, aside } = environment;
  const { record } = job;
  const { id, campaign, priority, spec, stages, attempt } = record;
  const telemetry = new JobTelemetry({ record, tracer, listener });
  try {
    const results = await runClusterJob({
      ...{ id, campaign, priority, spec, stages, resources, fleet, aside },
      scratch: scratch.pathFor(id, attempt),
      signal: job.signal,
      onEvent: (event) => {
        telemetry.note(event);
        job.emit(event);
      },
      beginTry: telemetry.beginTry,
      commitStage: (name, entry) => job.commitStage(name, entry),
    });
    telemetry.end({ results });
    return results;
  } catch (error) {
    telemetry.end({ error });
    throw error;
  }
}
