// Records and submits for tests of jobs.
import { USUAL_TIMING } from '../../coordinator/job/timing-settings.ts';
import { type JobRecord, type JobSpec, RECORD_SCHEMA } from '../../coordinator/jobs/job-record.ts';
import type { Submission, SubmittedJob } from '../../coordinator/jobs/job-store.ts';

export const NOW = '2026-01-02T03:04:05.000Z';

export const SPEC: JobSpec = {
  model: { kind: 'volume', volume: 'models', path: ['tiny'] },
  data: { kind: 'volume', volume: 'models', path: ['train.jsonl'] },
  evaluation: null,
  columns: {},
  budgets: [{ text: '0.5', value: 0.5 }],
  seed: 1,
  samples: 8,
  replacement: false,
  fisherGroup: null,
  labels: 'data',
  method: 'paper',
  damping: 'ridge',
  macsLength: null,
  maxLength: null,
  stride: 128,
  metric: null,
  timing: USUAL_TIMING,
  dtype: null,
};

export function jobRecord(changes: Partial<JobRecord> = {}): JobRecord {
  return {
    schema: RECORD_SCHEMA,
    id: '00000000000000aa',
    campaign: '00000000000000cc',
    name: 'job',
    position: 0,
    spec: SPEC,
    priority: 0,
    state: 'queued',
    cancelRequested: false,
    createdAt: NOW,
    startedAt: null,
    finishedAt: null,
    attempt: 0,
    deaths: 0,
    requeues: 0,
    stageAttempt: 0,
    lease: null,
    stages: {},
    results: [],
    failure: null,
    traceparent: null,
    ...changes,
  };
}

/** A campaign of jobs that need no files. */
export function submission(clientKey: string, jobs: readonly (string | Partial<SubmittedJob>)[]): Submission {
  return {
    clientKey,
    name: `campaign ${clientKey}`,
    jobs: jobs.map((job, i) => ({
      name: typeof job === 'string' ? job : `job ${i}`,
      spec: SPEC,
      priority: 0,
      ...(typeof job === 'string' ? {} : job),
    })),
    traceparent: null,
  };
}
