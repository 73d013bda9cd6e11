// How many jobs a coordinator runs at once when it is not told.
import { LEASE_PREFIX } from './coordinator-lease.ts';
import type { LeaseTable } from './lease-table.ts';

/** More jobs than workers: while one waits for a barrier, a disk or the store, another computes. */
const JOBS_A_WORKER = 2;
/** Also without workers: the next one finds a job that is ready. */
const LEAST = 2;

/** Beside these, of jobs that write or store what they have found: as many as threads write, and as many that wait for one. */
export const MOST_ASIDE = 8;

/** A share of the jobs that suit the fleet, one share for each coordinator that is alive. */
export function maxJobs(workers: number, leases: Pick<LeaseTable, 'present' | 'hasLapsed'>): number {
  const coordinators = leases.present(LEASE_PREFIX).filter((key) => !leases.hasLapsed(key)).length;
  return Math.max(LEAST, Math.ceil((workers * JOBS_A_WORKER) / Math.max(1, coordinators)));
}
