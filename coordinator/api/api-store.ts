// What the job API asks of the store of jobs: the store in coordinator/jobs does these, here they are as the API sees them.
import type { CampaignRecord, JobRecord, JobSpec, JobState } from '../jobs/job-record.ts';

export interface NewJob {
  /** Unique in its campaign. */
  readonly name: string;
  readonly priority: number;
  readonly spec: JobSpec;
}

export interface NewCampaign {
  /** Chosen by the client; the campaign's id follows from it. */
  readonly clientKey: string;
  readonly name: string;
  readonly jobs: readonly NewJob[];
  /** W3C trace context of the submit. */
  readonly traceparent: string | null;
}

export interface SubmittedCampaign {
  readonly campaign: CampaignRecord;
  /** In the order of the campaign. */
  readonly jobs: readonly JobRecord[];
  /** False when an earlier submit with this key had stored it. */
  readonly created: boolean;
}

export interface JobQuery {
  /** Id or unique prefix; null: all campaigns. */
  readonly campaign: string | null;
  /** Empty: all. */
  readonly states: readonly JobState[];
  /** Id of the last job of the page before; null: from the newest on. */
  readonly after: { readonly createdAt: string; readonly id: string } | null;
  readonly limit: number;
}

export interface ApiStore {
  /** Stores a campaign, all of it or nothing. @throws EspalierError "job_state" when the key was used for another
   * campaign, "store_full", "bus_unavailable". */
  submit(campaign: NewCampaign): Promise<SubmittedCampaign>;
  /** By id or unique prefix of at least 4 digits. @throws EspalierError "job_not_found". */
  find(idOrPrefix: string): Promise<JobRecord>;
  /** The campaign's record, or null. */
  campaign(id: string): Promise<CampaignRecord | null>;
  /** Jobs, newest first (by createdAt, then id). @throws EspalierError "job_not_found" for an unknown campaign. */
  list(query: JobQuery): Promise<readonly JobRecord[]>;
  /** @throws EspalierError "job_not_found", "job_state". */
  cancel(id: string): Promise<JobRecord>;
  retry(id: string): Promise<JobRecord>;
  delete(id: string): Promise<void>;
  /** @throws EspalierError "store_full" when the store should not take this many bytes more. */
  requireRoom(bytes: number): Promise<void>;
  /** Whether the record of a job names this blob as an input or a result. */
  namesBlob(digest: string): Promise<boolean>;
}
