// Which worker each affinity key belongs to. Spread evenly, and moved only when a worker joins, leaves or idles.

export class Placement {
  readonly #ownerOf = new Map<string, string>();

  /** The owner of a key; a new key goes to the worker that owns the fewest. `workers` must not be empty. */
  owner(key: string, workers: readonly string[]): string {
    const known = this.#ownerOf.get(key);
    if (known !== undefined) return known;
    const counts = this.#counts(workers);
    const fewest = workers.reduce((best, worker) => (counts.get(worker)! < counts.get(best)! ? worker : best));
    this.#ownerOf.set(key, fewest);
    return fewest;
  }

  move(key: string, worker: string): void {
    this.#ownerOf.set(key, worker);
  }

  /** Forgets the keys of a worker that left: their next tasks place them anew. */
  drop(worker: string): void {
    for (const [key, owner] of this.#ownerOf) if (owner === worker) this.#ownerOf.delete(key);
  }

  /** Gives a worker that joined its even share, taken from those that own more than theirs. */
  admit(worker: string, workers: readonly string[]): void {
    const share = Math.floor(this.#ownerOf.size / workers.length);
    const counts = this.#counts(workers);
    for (const [key, owner] of this.#ownerOf) {
      if (counts.get(worker)! >= share) return;
      if (owner === worker || (counts.get(owner) ?? 0) <= share) continue;
      counts.set(owner, counts.get(owner)! - 1);
      counts.set(worker, counts.get(worker)! + 1);
      this.#ownerOf.set(key, worker);
    }
  }

  #counts(workers: readonly string[]): Map<string, number> {
    const counts = new Map(workers.map((worker) => [worker, 0]));
    for (const owner of this.#ownerOf.values()) if (counts.has(owner)) counts.set(owner, counts.get(owner)! + 1);
    return counts;
  }
}
