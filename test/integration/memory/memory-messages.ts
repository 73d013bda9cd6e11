// What the processes of test/integration/memory tell each other.

/** Sizes of the jobs: every job has these. */
export interface MemoryCase {
  /** Of a hidden size; a layer has four times as many neurons. */
  readonly hiddenSize: number;
  readonly layers: number;
  readonly workers: number;
  readonly jobs: number;
  readonly rows: number;
  readonly shards: number;
  readonly method: 'rearrange' | 'paper';
}

export interface MemoryStart extends MemoryCase {
  /** nats-server's address. */
  readonly nats: string;
}

export interface MemoryReport {
  readonly peakRssBytes: number;
  readonly seconds: number;
  /** Of the coordinator's process, since it started. */
  readonly cpuSeconds: number;
  /** Kept neurons of each job. */
  readonly kept: readonly number[];
}

/** Tells the parent, and resolves when it is on its way. */
export function tell(message: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(message, undefined, {}, (error) => (error === null ? resolve() : reject(error)));
  });
}
