// What a worker tells whoever counts: metrics are made of it. Nothing that it does depends on who listens.
import type { RunRequest } from '../shared/rpc/protocol.ts';

export type TaskKind = NonNullable<RunRequest['task']>;

export type TaskOutcome = 'done' | 'failed' | 'cancelled';

/** How a blob that a task names was found: here already, pulled by this process, brought by another process of this
 * machine while this one waited, or not at all. */
export type CacheResult = 'hit' | 'pulled' | 'waited' | 'missing' | 'failed';

export interface WorkerObserver {
  /** A task has left the engine. `seconds`: how long it computed; 0 for one that never began. */
  taskEnded(kind: TaskKind, outcome: TaskOutcome, seconds: number): void;
  /** The engine began or stopped to compute. */
  computing(isComputing: boolean): void;
  cacheRequest(result: CacheResult): void;
  /** pulled: from the object store; received: blobs from coordinators; sent: results. */
  bytes(direction: 'pulled' | 'received' | 'sent', count: number): void;
}

export const NO_OBSERVER: WorkerObserver = {
  taskEnded: () => {},
  computing: () => {},
  cacheRequest: () => {},
  bytes: () => {},
};
