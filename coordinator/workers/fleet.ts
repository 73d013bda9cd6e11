// The workers of a cluster, as the jobs of one coordinator share them. `Workers` is what one job sees, local or not.
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import type { JobEvent } from '../job-events.ts';
import type { BeginTry } from './task-try.ts';
import type { Workers } from './workers.ts';

export interface FleetJob {
  readonly id: string;
  readonly campaign: string;
  readonly priority: number;
  /** Class that the job was planned for; null: the class with the most free workers decides. */
  readonly deviceClass: DeviceClass | null;
  /** Digests of its weight files: workers that hold them are preferred. */
  readonly models: readonly string[];
  /** Told of each worker that joins its home, and of each that leaves it. */
  readonly onEvent: (event: JobEvent) => void;
  /** Told of each try of a task. */
  readonly beginTry?: BeginTry;
  readonly signal: AbortSignal;
}

export interface Fleet {
  /** Joins a job; waits, for as long as it takes, until a worker of its class is there. Its `close` leaves again.
   * @throws EspalierError "cancelled", or the reason of the signal. */
  join(job: FleetJob): Promise<Workers>;
  /** Workers that are there now and take tasks. */
  readonly size: number;
  /** Tasks that wait for a worker, of all jobs; a job that waits for its first worker counts as one. */
  readonly pendingTasks: number;
  /** The same of all coordinators, by what they tell each other. */
  readonly clusterPendingTasks: number;
  /** Tasks of tuning that went to another worker together with the states of the one before. */
  readonly handOvers: number;
  /** Each worker that is there, and what share of the time since it joined, or of the last minute, it was computing. */
  readonly workers: readonly { readonly address: string; readonly busyRatio: number }[];
  close(): Promise<void>;
}
