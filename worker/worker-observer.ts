// What a worker tells whoever counts: its metrics are such a listener. Nothing that a worker does depends on who listens.

/** refused: there was no place, or the worker was ending. */
export type TaskOutcome = 'done' | 'failed' | 'refused' | 'cancelled';

export interface WorkerObserver {
  /** A task begins to compute. @param kind field of the request that holds it. @returns to be called when it has. */
  taskStarted(kind: string): () => void;
  /** A call has ended. */
  taskEnded(outcome: TaskOutcome): void;
  /** received: blobs, from coordinators or the object store; sent: results. */
  addBytes(direction: 'received' | 'sent', bytes: number): void;
  /** A blob that a task names was here (hit) or had to be brought (miss). */
  cacheRequested(result: 'hit' | 'miss', count?: number): void;
}

export const NO_OBSERVER: WorkerObserver = {
  taskStarted: () => () => {},
  taskEnded: () => {},
  addBytes: () => {},
  cacheRequested: () => {},
};
