// What goes along with a call for those who look on, in the metadata of gRPC: the trace context, and for tasks the job that
// they are part of. Nothing that a task computes depends on it. What does not look right is taken for not there.
import { Metadata } from '@grpc/grpc-js';
import type { LogFields } from '../log.ts';
import { parseTraceparent, TRACEPARENT, traceFields } from '../telemetry/trace.ts';

const JOB = 'espalier-job';
const ATTEMPT = 'espalier-attempt';

export interface CallContext {
  readonly traceparent: string | null;
  /** Id of the cluster's job, 16 hexadecimal digits; null: none. */
  readonly job: string | null;
  /** How often the job has been claimed. */
  readonly attempt: number | null;
}

export const NO_CONTEXT: CallContext = { traceparent: null, job: null, attempt: null };

export function callMetadata({ traceparent, job, attempt }: CallContext): Metadata {
  const metadata = new Metadata();
  if (parseTraceparent(traceparent) !== null) metadata.set(TRACEPARENT, traceparent!);
  if (job !== null) metadata.set(JOB, job);
  if (attempt !== null) metadata.set(ATTEMPT, String(attempt));
  return metadata;
}

export function callContextOf(metadata: Metadata): CallContext {
  const traceparent = textOf(metadata, TRACEPARENT);
  const job = textOf(metadata, JOB);
  const attempt = textOf(metadata, ATTEMPT);
  return {
    traceparent: parseTraceparent(traceparent) === null ? null : traceparent,
    job: job !== null && /^[0-9a-f]{16}$/.test(job) ? job : null,
    attempt: attempt !== null && /^\d{1,9}$/.test(attempt) ? Number(attempt) : null,
  };
}

/** Fields for the log of whatever works for this call; without those that are not known. */
export function contextFields({ traceparent, job, attempt }: CallContext): LogFields {
  return { ...(job !== null && { job }), ...(attempt !== null && { attempt }), ...traceFields(traceparent) };
}

function textOf(metadata: Metadata, key: string): string | null {
  const [text] = metadata.get(key);
  return typeof text === 'string' ? text : null;
}
