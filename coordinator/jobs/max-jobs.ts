// How many jobs a coordinator runs at once when it is not told.
import { LEASE_PREFIX } from './coordinator-lease.ts';
import type { LeaseTable } from './lease-table.ts';

/** A few jobs more than workers: some wait for disks, the store or a last straggler while others compute. */
const JOBS_A_WORKER = 1.25;
/** Also without workers: the next one finds a job that is ready. */
const LEAST = 2;

/** A share of the jobs that suit the fleet, one share for each coordinator that is alive. */
export function maxJobs(workers: number, leases: Pick<LeaseTable, 'present' | 'hasLapsed'>): number {
  const coordinators = leases.present(LEASE_PREFIX).filter((key) => !leases.hasLapsed(key)).length;
  return Math.max(LEAST, Math.ceil((workers * JOBS_A_WORKER) / Math.max(1, coordinators)));
}
