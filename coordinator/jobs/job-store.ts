// The jobs of the cluster as one coordinator sees them: an index fed by the bucket's watch for lists and choices, and
// compare-and-set loops on the records themselves for every change.
import type { CampaignRecord, JobFailure, JobRecord, JobSpec, JobState } from './job-record.ts';

export interface SubmittedJob {
  /** Unique in its campaign. */
  readonly name: string;
  readonly spec: JobSpec;
  readonly priority: number;
}

export interface Submission {
  /** Chosen by the client; the same key and content give the same campaign, however often they come. */
  readonly clientKey: string;
  readonly name: string;
  readonly jobs: readonly SubmittedJob[];
  readonly traceparent: string | null;
}

export interface Submitted {
  readonly campaign: CampaignRecord;
  /** In the order of the campaign, without those that were deleted since. */
  readonly jobs: readonly JobRecord[];
  /** False when it was there already. */
  readonly created: boolean;
}

/** What is kept in memory of every job. A record that is newer than this program has state "queued" and `isNewer`: it is
 * listed and otherwise left alone. */
export interface JobSummary {
  readonly id: string;
  readonly campaign: string;
  readonly name: string;
  readonly position: number;
  readonly priority: number;
  readonly state: JobState;
  readonly cancelRequested: boolean;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly attempt: number;
  /** Coordinator that runs it. */
  readonly owner: string | null;
  readonly failure: JobFailure | null;
  /** Names of stored stages; empty once the job has ended. */
  readonly stages: readonly string[];
  /** Revision of the record that this was taken from. */
  readonly revision: number;
  readonly isNewer: boolean;
}

export interface ListQuery {
  /** Id or unique prefix; null: all. */
  readonly campaign: string | null;
  /** Empty: all. */
  readonly states: readonly JobState[];
  readonly pageSize: number;
  /** From the page before; empty: the first page. */
  readonly pageToken: string;
}

export interface JobPage {
  readonly jobs: readonly JobSummary[];
  /** Empty after the last page. */
  readonly nextPageToken: string;
}

export interface JobStore {
  /** Stores all jobs, then the campaign that makes them count. Blobs that they name must be there: give `requireBlobs`
   * to check it between the two. `checkInputs` is asked before anything is stored, unless the campaign is there already.
   * @throws EspalierError "job_state" for other content under the same key, what these threw. */
  submit(
    submission: Submission,
    requireBlobs?: () => Promise<void>,
    checkInputs?: () => Promise<void>,
  ): Promise<Submitted>;
  /** The id of the one job whose id begins so, at least 4 hexadecimal digits. @throws EspalierError "job_not_found". */
  find(prefix: string): string;
  /** The record now, from the bucket. @throws EspalierError "job_not_found", "state_schema". */
  read(prefix: string): Promise<JobRecord>;
  /** Newest first. @throws EspalierError "usage" for a token that is none, "job_not_found" for the campaign. */
  list(query: ListQuery): JobPage;
  /** What the index holds of one job (a whole id). */
  summary(id: string): JobSummary | null;
  /** The campaign's name, or "" when its record is not there. */
  campaignName(id: string): string;
  /** Ends a queued job, asks a running one to end; a cancelled one stays so. @throws EspalierError "job_not_found",
   * "job_state", "state_schema". */
  cancel(prefix: string): Promise<JobRecord>;
  /** Queues a failed or cancelled job again, with its stored stages. */
  retry(prefix: string): Promise<JobRecord>;
  /** Removes a job that has ended. Its blobs are collected later. */
  delete(prefix: string): Promise<void>;
  /** Calls the listener with changes of jobs, `null` for one that was deleted; a version that another coordinator replaced at
   * once may be left out. @returns a function that ends it. */
  onChange(listener: (id: string, job: JobSummary | null) => void): () => void;
}
