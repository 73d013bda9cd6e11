// A claimed job in the hands of the coordinator that runs it.
//
// Every change is a compare-and-set of the whole record. When another change came between, the record is read again: with
// owner and attempt unchanged the change is applied to the newer record, else the lease is lost and nothing is written.
import type { JobEvent } from '../job-events.ts';
import type { JobFailure, JobRecord, JobState, StageEntry } from './job-record.ts';

/** What else the log of a job's events holds, beside those of the stages. */
export type LifeEvent =
  | { readonly kind: 'state'; readonly state: JobState; readonly owner?: string; readonly error?: JobFailure }
  | { readonly kind: 'log'; readonly text: string };

export interface HeldJob {
  /** As it was last read or written. */
  readonly record: JobRecord;
  /** Aborts with EspalierError "lease_lost" when the job is another's now, and "cancelled" when its user asked for that
   * or the coordinator drains. */
  readonly signal: AbortSignal;
  /** Names a stage in the record, or with null drops it: the only commit of a stage. Waits while the bus is away.
   * @throws the reason of `signal`; EspalierError "limit_exceeded" when the record would grow too large to store. */
  commitStage(name: string, entry: StageEntry | null): Promise<void>;
  /** Adds to the job's event log. Never waits and never throws; when the bus is slow, progress is dropped first. */
  emit(event: JobEvent | LifeEvent): void;
}

/** Runs a part of a job that wants nothing of workers: another job may be claimed meanwhile. */
export type StandAside = <T>(part: () => Promise<T>) => Promise<T>;
