// The changes of a job's record, as pure functions of the record and the time: the state machine of job-record.ts. Nothing
// here knows who may make a change or how it is stored.
import type { EspalierError } from '../../shared/errors.ts';
import type { JobFailure, JobRecord, JobResult, JobState, StageEntry } from './job-record.ts';

/** Claims in a row whose coordinator vanished without a new stage, after which the job is taken to be the cause. */
export const MAX_DEATHS = 3;
/** Times in a row that a job without a new stage is handed back for an error that may pass. */
export const MAX_REQUEUES = 5;
/** Every coordinator keeps the failures of all jobs in memory. */
const MAX_MESSAGE = 2_000;

const ENDED: readonly JobState[] = ['done', 'failed', 'cancelled'];

export function hasEnded(state: JobState): boolean {
  return ENDED.includes(state);
}

/** What a claim makes of a queued job, or of a running one whose owner's lease has lapsed. The result may be an ended job:
 * one that was to be cancelled, or whose coordinators died too often. */
export function claimed(record: JobRecord, owner: string, now: string): JobRecord {
  const lapsed = record.state === 'running';
  const deaths = lapsed && storedNothing(record) ? record.deaths + 1 : record.deaths;
  const seen = { ...record, deaths };
  if (record.cancelRequested) return cancelled(seen, now);
  if (lapsed && deaths >= MAX_DEATHS) return failed(seen, deathFailure(seen), now);
  const attempt = record.attempt + 1;
  return { ...seen, state: 'running', startedAt: record.startedAt ?? now, attempt, lease: { owner, attempt } };
}

/** `entry` null drops the stage, which is no progress. */
export function withStage(record: JobRecord, name: string, entry: StageEntry | null): JobRecord {
  const { [name]: _, ...others } = record.stages;
  if (entry === null) return { ...record, stages: others };
  return {
    ...record,
    stages: { ...others, [name]: entry },
    deaths: 0,
    requeues: 0,
    stageAttempt: record.attempt,
  };
}

export function finished(record: JobRecord, results: readonly JobResult[], now: string): JobRecord {
  return { ...ended(record, 'done', now), results };
}

export function failed(record: JobRecord, failure: JobFailure, now: string): JobRecord {
  return { ...ended(record, 'failed', now), failure };
}

export function cancelled(record: JobRecord, now: string): JobRecord {
  return { ...ended(record, 'cancelled', now), cancelRequested: true };
}

/** Queued again, as it stands: its coordinator drains, or lost its own lease and no one has claimed the job since. */
export function handedBack(record: JobRecord): JobRecord {
  return { ...record, state: 'queued', lease: null };
}

/** Queued again for an error that may pass; failed with it when that came too often in a row. A full store is no job's
 * fault, and lasts until someone makes room: it does not count. */
export function requeued(record: JobRecord, failure: JobFailure, now: string): JobRecord {
  if (failure.code === 'store_full') return handedBack(record);
  const requeues = record.requeues + 1;
  if (requeues < MAX_REQUEUES) return { ...handedBack(record), requeues };
  return failed({ ...record, requeues }, failure, now);
}

/** A failed or cancelled job, queued again with all stored stages. */
export function retried(record: JobRecord): JobRecord {
  return {
    ...record,
    state: 'queued',
    cancelRequested: false,
    finishedAt: null,
    deaths: 0,
    requeues: 0,
    lease: null,
    results: [],
    failure: null,
  };
}

/** What a record keeps of an error, which may quote what others wrote. */
export function failureOf({ code, message, action }: EspalierError): JobFailure {
  return { code, message: message.slice(0, MAX_MESSAGE), action: action.slice(0, MAX_MESSAGE) };
}

function ended(record: JobRecord, state: JobState, now: string): JobRecord {
  return { ...record, state, finishedAt: now, lease: null, failure: null };
}

function storedNothing(record: JobRecord): boolean {
  return record.stageAttempt !== record.attempt;
}

function deathFailure(record: JobRecord): JobFailure {
  return {
    code: 'coordinator_lost',
    message: `${record.id}: ${record.deaths} coordinators in a row ended while they ran it and before they stored a stage`,
    action: 'see the logs of the coordinators, then retry the job',
  };
}
