// Kills or freezes a process of a cluster at random times, one after another, and starts again what it has killed.
// NATS is spared: it is one server here, and what its death does is tried case by case in test/faults.
import { setTimeout as pause } from 'node:timers/promises';
import type { RandomStream } from '../../pruning/random.ts';
import { type Cluster, LEASE_SECONDS } from '../support/cluster.ts';

export class Killer {
  readonly #cluster: Cluster;
  readonly #random: RandomStream;
  readonly #meanMs: number;
  readonly #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #kills = 0;

  constructor(cluster: Cluster, random: RandomStream, meanMs: number) {
    this.#cluster = cluster;
    this.#random = random;
    this.#meanMs = meanMs;
  }

  get kills(): number {
    return this.#kills;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Resolves when all it has hit is running again. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const wait = (ms: number) => pause(ms, undefined, { signal }).catch(() => {});
    while (!signal.aborted) {
      await wait(this.#meanMs * (0.5 + this.#random.uniform()));
      if (signal.aborted) return;
      const { workers, coordinators } = this.#cluster;
      // A coordinator is hit half as often as a worker: each time, its jobs wait for its lease to lapse.
      const targets = [...workers, ...coordinators];
      const target = targets[this.#random.integer(targets.length)];
      this.#kills += 1;
      if (this.#random.uniform() < 0.75) {
        await target.kill();
        await wait(this.#random.uniform() * 2_000);
        await target.start();
      } else {
        target.freeze();
        await wait(this.#random.uniform() * LEASE_SECONDS * 2_000);
        target.thaw();
      }
    }
  }
}
