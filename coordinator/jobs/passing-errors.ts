// Which failures of a job may be gone when it is tried again. All others would come again and fail the job at once.
import type { ErrorCode } from '../../shared/errors.ts';

const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bus_unavailable',
  'no_workers',
  'worker_unavailable',
  'worker_busy',
  'blob_missing',
  'blob_corrupt',
  'engine',
  'deadline',
  // Of this coordinator's own disk: another one, or a smaller cache, may have room.
  'disk_full',
  // Until retention, or the operator, has made room.
  'store_full',
  // Only when it is not this job's lease: whoever wrote it has stopped already.
  'lease_lost',
]);

export function mayPass(code: ErrorCode): boolean {
  return PASSING.has(code);
}
