// How long each worker of a job computed, by kind of task, and what memory it took, so that a report can tell where both went.

/** What one worker did of a job. */
export interface WorkerTime {
  /** Workers are numbered in the order of their first result: addresses are of no use to whoever reads a report. */
  readonly worker: number;
  readonly tasks: number;
  /** Seconds by kind of task, results that came back only. */
  readonly seconds: Readonly<Record<string, number>>;
  /** The most memory that it has had in use since it started, of this job or another: tensors on the GPU, or on a CPU the
   * process; left out: not known. */
  readonly peakMemoryBytes?: number;
}

export class WorkerTimes {
  readonly #byAddress = new Map<string, { tasks: number; seconds: Map<string, number> }>();
  readonly #peaks = new Map<string, number>();

  add(address: string, kind: string, seconds: number): void {
    const found = this.#byAddress.get(address) ?? { tasks: 0, seconds: new Map<string, number>() };
    this.#byAddress.set(address, found);
    found.tasks += 1;
    found.seconds.set(kind, (found.seconds.get(kind) ?? 0) + seconds);
  }

  /** What a worker says of its memory: it may have started again since. */
  peak(address: string, bytes: number): void {
    this.#peaks.set(address, Math.max(bytes, this.#peaks.get(address) ?? 0));
  }

  /** To the millisecond. */
  get all(): WorkerTime[] {
    return [...this.#byAddress].map(([address, { tasks, seconds }], index) => {
      const peakMemoryBytes = this.#peaks.get(address);
      return {
        worker: index + 1,
        tasks,
        seconds: Object.fromEntries(
          [...seconds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, sum]) => [kind, Math.round(sum * 1000) / 1000]),
        ),
        ...(peakMemoryBytes !== undefined && { peakMemoryBytes }),
      };
    });
  }
}
