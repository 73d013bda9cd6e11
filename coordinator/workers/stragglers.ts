// While a worker idles and others compute, looks at times for tasks that another is slow with (slow-attempts.ts) and has
// them run a second time.
import type { Clock } from './clock.ts';
import type { DeviceScopes } from './device-scopes.ts';
import type { FleetListener } from './fleet-listener.ts';
import type { OthersLoad } from './other-loads.ts';
import { slowAttempts } from './slow-attempts.ts';
import type { Task } from './task-run.ts';
import { kindOf } from './task-spec.ts';
import type { WorkerSlot } from './worker-slot.ts';
import type { WorkerSlots } from './worker-slots.ts';

/** How often idle workers look for what others are slow with. */
const IDLE_LOOK_MS = 100;

export interface StragglersOptions {
  readonly slots: WorkerSlots;
  readonly scopes: DeviceScopes;
  readonly others: OthersLoad;
  readonly clock: Clock;
  readonly listener: FleetListener;
  /** Called before each look: what waits goes before what runs already. */
  readonly onLook: () => void;
  /** Sends the task once more. */
  readonly begin: (task: Task, slot: WorkerSlot) => void;
}

export class Stragglers {
  readonly #slots: WorkerSlots;
  readonly #scopes: DeviceScopes;
  readonly #others: OthersLoad;
  readonly #clock: Clock;
  readonly #listener: FleetListener;
  readonly #onLook: () => void;
  readonly #begin: (task: Task, slot: WorkerSlot) => void;
  #stopLooking: (() => void) | null = null;

  constructor({ slots, scopes, others, clock, listener, onLook, begin }: StragglersOptions) {
    this.#slots = slots;
    this.#scopes = scopes;
    this.#others = others;
    this.#clock = clock;
    this.#listener = listener;
    this.#onLook = onLook;
    this.#begin = begin;
  }

  /** Looks again in a while where a worker idles and others do not. */
  watch(): void {
    if (this.#stopLooking !== null) return;
    const slots = [...this.#slots];
    const now = this.#clock.now();
    const someIdle = slots.some((slot) => slot.inFlight.size === 0 && slot.isOpen(now));
    if (!someIdle || !slots.some(({ inFlight }) => inFlight.size > 0)) return;
    this.#stopLooking = this.#clock.after(IDLE_LOOK_MS, () => {
      this.#stopLooking = null;
      this.#onLook();
      this.#repeatSlow();
    });
  }

  /** Gives each idle worker one task that another is slow with. */
  #repeatSlow(): void {
    const now = this.#clock.now();
    const slots = [...this.#slots];
    for (const { task, slot: from } of slowAttempts(slots, now)) {
      const idle = slots.find(
        (slot) =>
          slot !== from &&
          slot.inFlight.size === 0 &&
          this.#others.homesAt(slot.address) === 0 &&
          slot.isOpen(now) &&
          task.job.accepts(slot) &&
          !task.missingOn.has(slot) &&
          this.#scopes.mayBegin(task, slot, slots, false),
      );
      if (idle === undefined) continue;
      this.#listener.taskRetried(kindOf(task.spec), 'slow');
      this.#begin(task, idle);
    }
  }

  close(): void {
    this.#stopLooking?.();
    this.#stopLooking = null;
  }
}
