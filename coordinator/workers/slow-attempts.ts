// Which tries are slow enough to run their task a second time.
import type { Attempt } from './task-run.ts';
import { kindOf } from './task-spec.ts';
import type { WorkerSlot } from './worker-slot.ts';

/** Those on workers that are slow with what they compute, each task once; what waits behind is late with it. */
export function slowAttempts(slots: readonly WorkerSlot[], nowMs: number): Attempt[] {
  return slots
    .filter((slot) => isSlow(slot, nowMs))
    .flatMap(({ inFlight }) => [...inFlight])
    .filter(({ task }) => task.attempts.size === 1 && !task.isDone && !task.run.isOver && !task.spec.exclusive);
}

function isSlow(slot: WorkerSlot, nowMs: number): boolean {
  const [first] = slot.inFlight;
  if (first === undefined) return false;
  const startedMs = slot.startedMs(first);
  const slowAfterMs = first.task.job.durations.slowAfterMs(kindOf(first.task.spec));
  return startedMs !== null && slowAfterMs !== null && nowMs - startedMs > slowAfterMs;
}
