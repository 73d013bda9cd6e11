// What a coordinator says of its load every second while it has any, and soon after its homes changed, on `espalier.coordinator.<its id>`: others
// give their new jobs to workers that have less to do. Only speed is at stake; nobody waits for a report.

export const LOAD_REPORT_MS = 1_000;
/** Whoever was silent for so long has no load. */
export const LOAD_SILENT_MS = 4_000;
export const LOAD_REPORT_SCHEMA = 1;
export const LOAD_SUBJECT = 'espalier.coordinator';

export interface LoadReport {
  readonly schema: number;
  /** Random for each start of the process. */
  readonly coordinatorId: string;
  /** Jobs by device class, as `describeClass` names it. */
  readonly jobs: readonly (readonly [deviceClass: string, jobs: number])[];
  /** Workers by address, and how many jobs have each as a home. */
  readonly homes: readonly (readonly [address: string, jobs: number])[];
  /** Tasks of its jobs that wait for a worker; left out by older coordinators. */
  readonly pendingTasks?: number;
}
