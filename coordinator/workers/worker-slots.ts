// The slots of all workers that the source names now, by address. A slot stands for one process: when another one answers
// behind the same address, it gets a slot of its own.
import { WorkerSlot } from './worker-slot.ts';
import type { PooledWorker } from './worker-source.ts';

export class WorkerSlots implements Iterable<WorkerSlot> {
  readonly #byAddress = new Map<string, WorkerSlot>();

  [Symbol.iterator](): IterableIterator<WorkerSlot> {
    return this.#byAddress.values();
  }

  at(address: string): WorkerSlot | undefined {
    return this.#byAddress.get(address);
  }

  /** Takes up the workers that have come, and drops those that are gone. What these are running may still come through;
   * if not, each of its calls fails by itself. @returns addresses of those that are gone. */
  follow(workers: readonly PooledWorker[], nowMs: number): string[] {
    const present = new Set(workers);
    const gone = [...this].filter(({ worker }) => !present.has(worker)).map(({ address }) => address);
    for (const address of gone) this.#byAddress.delete(address);
    for (const worker of workers)
      if (!this.#byAddress.has(worker.address)) this.#byAddress.set(worker.address, new WorkerSlot(worker, nowMs));
    return gone;
  }

  /** Those that take tasks now. */
  open(nowMs: number): WorkerSlot[] {
    return [...this].filter((slot) => slot.isOpen(nowMs));
  }

  /** Whether another worker of the same class can take what this one should not, of those that `may`. */
  hasOther(slot: WorkerSlot, nowMs: number, may: (other: WorkerSlot) => boolean): boolean {
    for (const other of this) {
      const isAlike = other !== slot && other.classKey === slot.classKey;
      if (isAlike && !other.worker.isLeaving && !other.isAside(nowMs) && may(other)) return true;
    }
    return false;
  }
}
