// Where the scheduler's workers come from: a list of addresses (WorkerPool) or heartbeats (FleetRegistry).
import type { EspalierError } from '../../shared/errors.ts';
import type { BlobUploader } from '../../shared/rpc/blob-upload.ts';
import type { WorkerConnection } from '../../shared/rpc/channel.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';

/** A worker that takes tasks. The same object for as long as the same process is behind the address. */
export interface PooledWorker {
  readonly address: string;
  readonly instanceId: string;
  readonly deviceClass: DeviceClass;
  /** Machine that it runs on: workers with the same one share a CPU. */
  readonly host: string;
  readonly memoryBytes: number;
  readonly connection: WorkerConnection;
  readonly uploader: BlobUploader;
  /** Digests of weight files that it holds in memory. */
  models: ReadonlySet<string>;
  /** It finishes what it has and takes no more. */
  isLeaving: boolean;
  /** Why it could not be used any more when it was lost the last time, where that is known. */
  lostReason?: string;
}

export interface WorkerSource {
  /** Those that can be used now, and those that are leaving but can still be reached. */
  readonly workers: readonly PooledWorker[];
  /** Why no task can run any more; null while there is hope. */
  readonly exhausted: EspalierError | null;
  /** Calls `listener` after every change, until the returned function is called. */
  subscribe(listener: () => void): () => void;
}
