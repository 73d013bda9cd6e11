// Which workers are left alone for a while, and who is told when the while is over. The pauses are those of worker-slot.ts.
import type { Clock } from './clock.ts';
import type { Homes } from './homes.ts';
import type { Timers } from './timers.ts';
import type { WorkerSlot } from './worker-slot.ts';
import type { WorkerSlots } from './worker-slots.ts';

export interface TrustOptions {
  readonly slots: WorkerSlots;
  readonly homes: Homes;
  readonly timers: Timers;
  readonly clock: Clock;
  /** Called when a worker can be tried again. */
  readonly onBack: () => void;
}

export class Trust {
  readonly #slots: WorkerSlots;
  readonly #homes: Homes;
  readonly #timers: Timers;
  readonly #clock: Clock;
  readonly #onBack: () => void;

  constructor({ slots, homes, timers, clock, onBack }: TrustOptions) {
    this.#slots = slots;
    this.#homes = homes;
    this.#timers = timers;
    this.#clock = clock;
    this.#onBack = onBack;
  }

  /** Counts a failure. A worker that is set aside for long is no home until it is back. */
  punish(slot: WorkerSlot): void {
    const now = this.#clock.now();
    const pauseMs = slot.failed(now);
    if (slot.isUsable(now)) {
      this.#timers.after(pauseMs, this.#onBack);
      return;
    }
    this.#homes.allocate();
    this.#timers.after(pauseMs, () => {
      this.#homes.allocate();
      this.#onBack();
    });
  }

  /** It said itself that it takes nothing now: no failure. */
  leaveAlone(slot: WorkerSlot, ms: number): void {
    this.#timers.after(slot.setAside(ms, this.#clock.now()), this.#onBack);
  }

  /** What failed on several workers was not the fault of each: other jobs go on there. */
  pardon(failedOn: ReadonlySet<string>): void {
    if (failedOn.size < 2) return;
    for (const address of failedOn) this.#slots.at(address)?.pardon();
  }
}
