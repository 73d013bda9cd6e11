// A job as the cluster stores it: one JSON value under the key `job.<id>` of the bucket of jobs, the one truth about it.
//
//   queued ──claim──▶ running ──▶ done
//     ▲                │  │  └──▶ failed      the error is permanent, or its coordinators died too often
//     │                │  └─────▶ cancelled   after `cancelRequested`
//     ├──hand back─────┘                      its coordinator drains, or what it needed was away; nothing is lost
//     ├──retry── failed, cancelled            with all stored stages
//     └── (a running job whose owner's lease has lapsed is claimed again: running → running, attempt + 1)
//
// A queued job may be claimed once its campaign's record is there: a campaign that was cut off while it was submitted
// never runs in part. Every change is a compare-and-set of the whole record; while a job runs, only its owner changes it,
// except for `cancelRequested` and `priority`. An owner whose write fails reads again: with owner and attempt unchanged it
// goes on from there, else it has lost the lease and stops without a further write.
import type { PruneRequest } from '../prune-settings.ts';

/** Raised when an older program could not read a record rightly; see `migrate-record.ts`. */
export const RECORD_SCHEMA = 3;

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';

export interface FileRef {
  /** From the closed list of names that a model or a data file may have (see file-names.ts). */
  readonly name: string;
  /** SHA-256, 64 lower-case hexadecimal digits. */
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Files that were uploaded, or a folder or file of a volume that the coordinators share. */
export type FileSource =
  | {
      readonly kind: 'blobs';
      /** What messages and reports call it: the name of the user's folder or file. Never used as a path. */
      readonly label: string;
      readonly files: readonly FileRef[];
    }
  | { readonly kind: 'volume'; readonly volume: string; readonly path: readonly string[] };

/** Settings of a job that name no files: those that change its result. */
export type JobSettings = Omit<PruneRequest, 'model' | 'data' | 'evaluation'>;

/** Settings that specs of earlier versions do not have; `job-settings.ts` has what they then mean. */
export type LaterSettings = 'timing' | 'search' | 'neuronMultiple';

/** What a job is asked to do. */
export interface JobSpec extends Omit<JobSettings, LaterSettings>, Partial<Pick<JobSettings, LaterSettings>> {
  readonly model: FileSource;
  readonly data: FileSource;
  readonly evaluation: FileSource | null;
}

/** One stored stage: a small JSON value, or tensors as a safetensors blob with what was stored beside them. */
export type StageEntry =
  | { readonly kind: 'json'; readonly value: unknown }
  | {
      readonly kind: 'tensors';
      readonly digest: string;
      readonly sizeBytes: number;
      readonly meta: Readonly<Record<string, unknown>>;
    };

export interface JobFailure {
  readonly code: string;
  readonly message: string;
  readonly action: string;
}

/** One pruned model: the files of its folder, and its report. */
export interface JobResult {
  readonly budget: string;
  readonly files: readonly FileRef[];
  /** The content of its report.json; where reports are too large for a record, without how each sub-layer was tuned or
   * refitted. */
  readonly report: unknown;
}

export interface JobRecord {
  readonly schema: number;
  /** 16 hexadecimal digits. */
  readonly id: string;
  readonly campaign: string;
  /** Of the user, unique in its campaign. */
  readonly name: string;
  /** Its place in the campaign, from 0. New in schema 2. */
  readonly position: number;
  readonly spec: JobSpec;
  /** -100 to 100; higher goes first. */
  readonly priority: number;
  readonly state: JobState;
  readonly cancelRequested: boolean;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Claims so far. */
  readonly attempt: number;
  /** Claims in a row that ended with a lapsed lease and stored nothing. */
  readonly deaths: number;
  /** Claims in a row that were handed back for an error that may pass, and stored nothing. New in schema 2. */
  readonly requeues: number;
  /** The attempt that stored the newest stage; 0: none did. New in schema 2. */
  readonly stageAttempt: number;
  /** While running: who may change the record. */
  readonly lease: { readonly owner: string; readonly attempt: number } | null;
  readonly stages: Readonly<Record<string, StageEntry>>;
  readonly results: readonly JobResult[];
  readonly failure: JobFailure | null;
  /** W3C trace context of the submit. */
  readonly traceparent: string | null;
}

/** A campaign: one JSON value under `campaign.<id>`; written after all of its jobs, which count only from then on. */
export interface CampaignRecord {
  readonly schema: number;
  /** 16 hexadecimal digits, from the client's key. */
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  /** Its jobs, in the order of the campaign. A job that no campaign lists never runs. */
  readonly jobs: readonly string[];
  /** SHA-256 of what was submitted; null in those that were stored before schema 2. */
  readonly content: string | null;
}
