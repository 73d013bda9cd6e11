// A job as the scheduler sees it: its home, what waits, and which of its workers each affinity key belongs to.
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import type { JobEvent } from '../job-events.ts';
import { Placement } from './placement.ts';
import { TaskDurations } from './task-durations.ts';
import type { Task, TaskRun } from './task-run.ts';
import { type BeginTry, beginUntoldTry } from './task-try.ts';
import { TuningHolders } from './tuning-holders.ts';
import { type FoldCost, TuningSpread } from './tuning-spread.ts';
import type { WorkerSlot } from './worker-slot.ts';
import { WorkerTimes } from './worker-times.ts';

export interface JobToSchedule {
  readonly id: string;
  readonly priority: number;
  /** Its workers are of this class; null: of any, since there is but one. */
  readonly deviceClass: DeviceClass | null;
  readonly models: readonly string[];
  /** Told of each worker that joins its home, and of each that leaves it. */
  readonly onEvent?: (event: JobEvent) => void;
  readonly beginTry?: BeginTry;
}

export class ScheduledJob {
  readonly id: string;
  readonly priority: number;
  readonly classKey: string | null;
  readonly models: readonly string[];
  readonly onEvent: (event: JobEvent) => void;
  readonly beginTry: BeginTry;
  readonly placement = new Placement();
  readonly durations = new TaskDurations();
  readonly times = new WorkerTimes();
  readonly holders = new TuningHolders();
  readonly spread: TuningSpread;
  /** Those that have not ended. */
  readonly runs = new Set<TaskRun>();
  home: readonly WorkerSlot[] = [];
  /** It has nothing for workers until it asks for the next tasks; others have its home meanwhile. */
  isResting = false;
  /** Those that are to be sent again stand in front. */
  waiting: Task[] = [];

  constructor(job: JobToSchedule, classKey: string | null, foldCost: FoldCost) {
    this.spread = new TuningSpread(foldCost);
    this.id = job.id;
    this.priority = job.priority;
    this.classKey = classKey;
    this.models = job.models;
    this.onEvent = job.onEvent ?? (() => {});
    this.beginTry = job.beginTry ?? beginUntoldTry;
  }

  accepts(slot: WorkerSlot): boolean {
    return this.classKey === null || this.classKey === slot.classKey;
  }

  ownerOf(key: string): string | null {
    if (this.home.length === 0) return null;
    return this.placement.owner(
      key,
      this.home.map(({ address }) => address),
    );
  }

  /** Changes the home; keys of those that left it are placed anew, and those that came get their share.
   * @param whyLost asked of those that left. */
  moveTo(home: readonly WorkerSlot[], whyLost: (slot: WorkerSlot) => string): void {
    const before = new Set(this.home);
    const after = new Set(home);
    this.home = home;
    for (const slot of before) {
      if (after.has(slot)) continue;
      this.placement.drop(slot.address);
      this.onEvent({ kind: 'worker-lost', worker: slot.address, reason: whyLost(slot) });
    }
    const addresses = home.map(({ address }) => address);
    for (const slot of home) {
      if (before.has(slot)) continue;
      this.placement.admit(slot.address, addresses);
      this.onEvent({ kind: 'worker-joined', worker: slot.address, device: slot.classKey });
    }
  }

  /** The first task that has its turn on this worker: one of its own, or one that failed elsewhere. */
  nextFor(slot: WorkerSlot, hasOther: (task: Task) => boolean): Task | undefined {
    const isHome = this.home.includes(slot);
    for (const task of this.waiting) {
      const { spec, avoid } = task;
      if (task.missingOn.has(slot)) continue;
      // Those that failed stand in front: elsewhere than at home there is nothing behind them.
      if (avoid === null && !isHome) return undefined;
      if (avoid !== null) {
        if (avoid !== slot || !hasOther(task)) return task;
      } else if (spec.affinity === undefined || this.ownerOf(spec.affinity) === slot.address) return task;
    }
    return undefined;
  }

  /** The last task that needs no state. */
  lastStateless(): Task | undefined {
    return this.waiting.findLast(({ spec, avoid }) => spec.affinity === undefined && avoid === null);
  }

  /** The last task of the owner with the most waiting. */
  lastOfLongestQueue(): Task | undefined {
    const byOwner = new Map<string | null, Task[]>();
    for (const task of this.waiting) {
      if (task.spec.affinity === undefined || task.avoid !== null) continue;
      const owner = this.ownerOf(task.spec.affinity);
      const others = byOwner.get(owner);
      if (others === undefined) byOwner.set(owner, [task]);
      else others.push(task);
    }
    const [longest] = [...byOwner.values()].sort((a, b) => b.length - a.length);
    return longest?.at(-1);
  }
}
