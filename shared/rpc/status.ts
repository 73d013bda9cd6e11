// Errors across a connection: an EspalierError becomes a gRPC status with its code in the trailing metadata, and comes
// out of the client as an equal EspalierError. Failures that gRPC itself reports have no such code and get the one that
// fits their status.
import { type Metadata, Metadata as MetadataClass, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { ERROR_CODES, type ErrorCode, EspalierError, type ProblemList, toEspalierError } from '../errors.ts';
import { decodeProblems, encodeProblems } from './problem-list.ts';

const CODE_KEY = 'espalier-code';
// Binary, because header values must be ASCII and an action may quote a file name.
const ACTION_KEY = 'espalier-action-bin';
const PROBLEMS_KEY = 'espalier-problems-bin';
/** Milliseconds after which to try again, from a peer that is busy. */
const RETRY_KEY = 'espalier-retry-ms';
const MAX_RETRY_MS = 10 * 60_000;

/** Trailing metadata has to fit a peer's header limit (16 KiB by default, percent-encoded). */
const MAX_DETAILS = 2000;

/** What a handler hands to gRPC for anything that it caught. */
export function toStatus(caught: unknown): StatusObject {
  const error = toEspalierError(caught);
  const metadata = new MetadataClass();
  metadata.set(CODE_KEY, error.code);
  metadata.set(ACTION_KEY, Buffer.from(error.action.slice(0, MAX_DETAILS)));
  if (error.retryAfterMs !== null) metadata.set(RETRY_KEY, `${Math.ceil(error.retryAfterMs)}`);
  if (error.list !== null) metadata.set(PROBLEMS_KEY, encodeProblems(error.list));
  return {
    code: status[ERROR_CODES[error.code].grpcStatus],
    details: error.message.slice(0, MAX_DETAILS),
    metadata,
  };
}

/** What gRPC throws in place of a status from a call on a connection that this side has closed, as it does when it finds that
 * the peer is gone. */
const CLOSED_HERE = 'Channel has been shut down';

/** Turns what a call to `peer` threw into an EspalierError: the peer's own where it sent one, else
 * "worker_unavailable", "deadline", "cancelled", "protocol" or "limit_exceeded". */
export function fromStatus(caught: unknown, peer: string): EspalierError {
  if (caught instanceof Error && caught.message === CLOSED_HERE)
    return new EspalierError('worker_unavailable', `${peer}: the connection is closed`, { cause: caught });
  if (caught instanceof EspalierError || !isServiceError(caught)) return toEspalierError(caught);
  const code = caught.metadata?.get(CODE_KEY)[0];
  if (isErrorCode(code)) {
    const action = caught.metadata.get(ACTION_KEY)[0];
    const options = action === undefined ? {} : { action: action.toString() };
    const said = { ...retryOf(caught.metadata), ...problemsOf(caught.metadata) };
    return new EspalierError(code, caught.details, { cause: caught, ...options, ...said });
  }
  return new EspalierError(codeOfTransport(caught.code), `${peer}: ${caught.details}`, { cause: caught });
}

// A peer's word: never more than a bounded wait.
function retryOf(metadata: Metadata): { retryAfterMs?: number } {
  const text = metadata.get(RETRY_KEY)[0];
  if (typeof text !== 'string' || !/^\d{1,9}$/.test(text)) return {};
  return { retryAfterMs: Math.min(Number(text), MAX_RETRY_MS) };
}

function problemsOf(metadata: Metadata): { list?: ProblemList } {
  const bytes = metadata.get(PROBLEMS_KEY)[0];
  const list = typeof bytes === 'object' ? decodeProblems(bytes) : null;
  return list === null ? {} : { list };
}

/** Whether the peer itself gave this error, rather than the connection to it. */
export function saidByPeer({ cause }: EspalierError): boolean {
  return isServiceError(cause) && isErrorCode(cause.metadata?.get(CODE_KEY)[0]);
}

function codeOfTransport(code: status): ErrorCode {
  switch (code) {
    case status.CANCELLED:
      return 'cancelled';
    case status.DEADLINE_EXCEEDED:
      return 'deadline';
    case status.UNIMPLEMENTED:
      return 'protocol';
    case status.RESOURCE_EXHAUSTED:
      return 'limit_exceeded';
    default:
      return 'worker_unavailable';
  }
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}

function isServiceError(caught: unknown): caught is ServiceError & { metadata: Metadata } {
  return caught instanceof Error && 'details' in caught && typeof (caught as ServiceError).code === 'number';
}
