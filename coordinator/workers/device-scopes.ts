// Who may begin on a device that an exclusive task has, or is about to get. A scope is what such a task needs to itself: a
// GPU worker, or all CPU workers of a machine.
import type { Task, TaskRun } from './task-run.ts';
import type { WorkerSlot } from './worker-slot.ts';

export class DeviceScopes {
  /** Scopes that get nothing more until they are empty and this task has them. */
  readonly #reserved = new Map<string, Task>();

  /** Whether the task may be sent to the worker now. An exclusive one whose scope is not empty reserves it, if it may. */
  mayBegin(task: Task, slot: WorkerSlot, slots: Iterable<WorkerSlot>, mayReserve: boolean): boolean {
    const { scope } = slot;
    const reserving = this.#reserved.get(scope);
    if (reserving !== undefined && reserving !== task) return false;
    for (const neighbour of slots) {
      if (neighbour.scope !== scope || neighbour.inFlight.size === 0) continue;
      if (task.spec.exclusive && mayReserve) this.#reserved.set(scope, task);
      if (task.spec.exclusive || neighbour.hasExclusive) return false;
    }
    if (task.spec.exclusive) this.#release((other) => other === task);
    return true;
  }

  /** The run has ended: its tasks need nothing any more. */
  releaseRun(run: TaskRun): void {
    this.#release((task) => task.run === run);
  }

  #release(isMeant: (task: Task) => boolean): void {
    for (const [scope, task] of this.#reserved) if (isMeant(task)) this.#reserved.delete(scope);
  }
}
