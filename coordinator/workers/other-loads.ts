// What other coordinators have at home on the workers that this one uses, by their reports.
import { LOAD_SILENT_MS, type LoadReport } from '../../shared/bus/load-report.ts';
import type { Clock } from './clock.ts';

/** What the scheduler asks of others. */
export interface OthersLoad {
  /** Jobs of others on workers of this class. */
  jobsOf(classKey: string): number;
  /** Jobs of others that have this worker as a home. */
  homesAt(address: string): number;
  /** Of two coordinators that share this worker, the one whose id comes first keeps it. */
  mustYield(address: string): boolean;
}

export const NO_OTHERS: OthersLoad = { jobsOf: () => 0, homesAt: () => 0, mustYield: () => false };

const MAX_COORDINATORS = 256;

const NONE: ReadonlyMap<string, number> = new Map();

interface Heard {
  readonly jobs: ReadonlyMap<string, number>;
  readonly homes: ReadonlyMap<string, number>;
  readonly pendingTasks: number;
  readonly atMs: number;
}

export class OtherLoads implements OthersLoad {
  readonly #ownId: string;
  readonly #clock: Clock;
  readonly #heard = new Map<string, Heard>();

  constructor(ownId: string, clock: Clock) {
    this.#ownId = ownId;
    this.#clock = clock;
  }

  /** @returns whether jobs or homes are now said to be otherwise than before. */
  take({ coordinatorId, jobs, homes, pendingTasks = 0 }: LoadReport): boolean {
    if (coordinatorId === this.#ownId) return false;
    const before = this.#heard.get(coordinatorId);
    if (before === undefined && this.#heard.size >= MAX_COORDINATORS) return false;
    // Jobs without a home take nothing from others.
    const jobsAtHome = homes.length === 0 ? NONE : new Map(jobs);
    const now: Heard = { jobs: jobsAtHome, homes: new Map(homes), pendingTasks, atMs: this.#clock.now() };
    if (homes.length === 0 && pendingTasks === 0) this.#heard.delete(coordinatorId);
    else this.#heard.set(coordinatorId, now);
    return !isSame(before?.jobs ?? NONE, now.jobs) || !isSame(before?.homes ?? NONE, now.homes);
  }

  /** Forgets those that were silent. @returns whether there were any. */
  forgetSilent(): boolean {
    const before = this.#heard.size;
    const sinceMs = this.#clock.now() - LOAD_SILENT_MS;
    for (const [id, { atMs }] of this.#heard) if (atMs < sinceMs) this.#heard.delete(id);
    return this.#heard.size < before;
  }

  /** Tasks of others that wait for a worker, those of coordinators that have fallen silent left out. */
  get pendingTasks(): number {
    const sinceMs = this.#clock.now() - LOAD_SILENT_MS;
    let count = 0;
    for (const { pendingTasks, atMs } of this.#heard.values()) if (atMs >= sinceMs) count += pendingTasks;
    return count;
  }

  jobsOf(classKey: string): number {
    let count = 0;
    for (const { jobs } of this.#heard.values()) count += jobs.get(classKey) ?? 0;
    return count;
  }

  homesAt(address: string): number {
    let count = 0;
    for (const { homes } of this.#heard.values()) count += homes.get(address) ?? 0;
    return count;
  }

  mustYield(address: string): boolean {
    for (const [id, { homes }] of this.#heard) if (id < this.#ownId && (homes.get(address) ?? 0) > 0) return true;
    return false;
  }
}

function isSame(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([name, count]) => b.get(name) === count);
}
