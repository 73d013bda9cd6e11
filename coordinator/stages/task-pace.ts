// How many sub-layers a worker that shares no sums solves or refits in one task. On a GPU one takes some milliseconds, and its result's way
// here and the next request's way there as long again: several go in one task. Where one takes seconds it goes alone: a task that
// fails is sent again whole, and another job's tasks wait behind it.

/** What a task should take. */
const TASK_MS = 2_000;

export interface TaskPace {
  /** How many the next task has, at least 1. */
  readonly most: number;
  /** So many took so long. */
  took(ms: number, count: number): void;
}

/** One in each task. */
export const ONE_BY_ONE: TaskPace = { most: 1, took() {} };

export interface PaceStart {
  readonly taskMs?: number;
  /** What one should take at the most, before any has; left out: nothing is known, and the first goes alone. */
  readonly expectedMs?: number;
}

/** Of all steps of a trajectory, or of one tuning: as many as the last ones tell. */
export function measuredPace({ taskMs = TASK_MS, expectedMs = Number.POSITIVE_INFINITY }: PaceStart = {}): TaskPace {
  let msEach = expectedMs;
  return {
    get most() {
      return Math.max(1, Math.floor(taskMs / msEach));
    },
    took(ms, count) {
      msEach = ms / count;
    },
  };
}
