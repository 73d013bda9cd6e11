// One claimed job of a cluster, from its record to its results: inputs out of the object store or a volume, the same
// stages as on one machine, results into the object store. Holds no state of its own that another coordinator would miss:
// what has been finished is in the record.
import { EspalierError } from '../shared/errors.ts';
import type { RunContext } from './job/job-context.ts';
import type { JobResources } from './job-resources.ts';
import type { JobResult, JobSpec, StageEntry } from './jobs/job-record.ts';
import type { Fleet } from './workers/fleet.ts';

/** What runs one job; the job holds none of it open after it has ended. */
export interface ClusterJob extends RunContext {
  readonly id: string;
  readonly campaign: string;
  readonly priority: number;
  readonly spec: JobSpec;
  /** Stages that the record held when the job was claimed. */
  readonly stages: Readonly<Record<string, StageEntry>>;
  /** Puts one stage into the record, by compare-and-set. @throws EspalierError "lease_lost", "bus_unavailable". */
  commitStage(name: string, entry: StageEntry): Promise<void>;
  /** Shared by all jobs of this coordinator. */
  readonly resources: JobResources;
  readonly fleet: Fleet;
  /** A folder that no other job uses: made where it is missing, removed when the job ends. */
  readonly scratch: string;
}

/** Runs a claimed job to its end. @returns one result a budget, whose files are in the object store.
 * @throws EspalierError whose code says whether it would come again; the stages that were finished are in the record. */
export async function runClusterJob(job: ClusterJob): Promise<readonly JobResult[]> {
  throw new EspalierError('internal', `${job.id}: not yet`);
}
