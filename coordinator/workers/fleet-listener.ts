// What scheduling tells whoever counts it. All of it is optional to hear; nothing here may throw.

/** As in the oneof of RunRequest. */
export type TaskKind = string;

/** Why a task was sent once more: the code of the failed try, or that it was slow. */
export type RetryReason = string;

export interface FleetListener {
  /** A try of a task gave its result. `seconds` from when its worker could begin, to the last byte. */
  taskDone(kind: TaskKind, seconds: number): void;
  taskRetried(kind: TaskKind, reason: RetryReason): void;
  /** Payload between this coordinator and workers: results in; requests and blobs out. */
  bytes(direction: 'in' | 'out', count: number): void;
}

export const SILENT_LISTENER: FleetListener = { taskDone() {}, taskRetried() {}, bytes() {} };
