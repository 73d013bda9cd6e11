// Gives every job its home of the workers that can be used now (allocation.ts), and says what is at home where.
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { allocateHomes } from './allocation.ts';
import type { Clock } from './clock.ts';
import { describeClass } from './device-class.ts';
import type { OwnLoad } from './load-exchange.ts';
import type { OthersLoad } from './other-loads.ts';
import type { ScheduledJob } from './scheduled-job.ts';
import type { ScheduledJobs } from './scheduled-jobs.ts';
import type { WorkerSlot } from './worker-slot.ts';
import type { WorkerSlots } from './worker-slots.ts';

export interface HomesOptions {
  readonly slots: WorkerSlots;
  readonly jobs: ScheduledJobs;
  readonly others: OthersLoad;
  readonly clock: Clock;
  /** Told when homes may have changed. */
  readonly onHomes: () => void;
}

export class Homes {
  readonly #slots: WorkerSlots;
  readonly #jobs: ScheduledJobs;
  readonly #others: OthersLoad;
  readonly #clock: Clock;
  readonly #onHomes: () => void;

  constructor({ slots, jobs, others, clock, onHomes }: HomesOptions) {
    this.#slots = slots;
    this.#jobs = jobs;
    this.#others = others;
    this.#clock = clock;
    this.#onHomes = onHomes;
  }

  /** Jobs by class, and how many have each worker as a home. */
  get load(): Pick<OwnLoad, 'jobs' | 'homes'> {
    const jobs = new Map<string, number>();
    const homes = new Map<string, number>();
    for (const { classKey, home, isResting } of this.#jobs) {
      if (isResting) continue;
      if (classKey !== null) jobs.set(classKey, (jobs.get(classKey) ?? 0) + 1);
      for (const { address } of home) homes.set(address, (homes.get(address) ?? 0) + 1);
    }
    return { jobs: [...jobs], homes: [...homes] };
  }

  /** Jobs of a class, which share its workers. */
  jobsOf(deviceClass: DeviceClass): number {
    const key = describeClass(deviceClass);
    return [...this.#jobs].filter(({ classKey }) => classKey === key).length;
  }

  /** To be called after any change of workers, jobs or what others have. */
  allocate(): void {
    const now = this.#clock.now();
    const byClass = new Map<string | null, ScheduledJob[]>();
    for (const job of this.#jobs)
      if (!job.isResting) byClass.set(job.classKey, [...(byClass.get(job.classKey) ?? []), job]);
    for (const [classKey, jobs] of byClass) {
      const slots = [...this.#slots].filter((slot) => jobs[0].accepts(slot) && slot.isUsable(now));
      const homes = allocateHomes(
        slots.map(({ address, worker: { models } }) => ({
          ...{ id: address, models },
          ...{ others: this.#others.homesAt(address), mustYield: this.#others.mustYield(address) },
        })),
        jobs.map((job) => ({ ...job, home: job.home.map(({ address }) => address) })),
        classKey === null ? 0 : this.#others.jobsOf(classKey),
      );
      for (const job of jobs)
        job.moveTo(
          homes.get(job.id)!.map((address) => this.#slots.at(address)!),
          (slot) => this.#whyLost(slot, now),
        );
    }
    this.#onHomes();
  }

  /** Why a worker is no longer among those of a job. */
  #whyLost(slot: WorkerSlot, now: number): string {
    if (slot.worker.isLeaving) return 'it drains';
    if (this.#slots.at(slot.address) !== slot) return slot.worker.lostReason ?? 'it is gone';
    return slot.isUsable(now) ? 'it works for other jobs now' : 'it is set aside for a while';
  }
}
