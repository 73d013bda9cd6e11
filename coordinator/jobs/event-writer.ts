// Writes one job's events to the log of the bus, in order, without making the job wait. What waits is bounded: progress goes
// first, then the oldest. At most one event of progress in PROGRESS_MS is kept, and the last one of each stage.
import type { EventLog } from '../../shared/bus/bus.ts';
import { within } from '../../shared/lifecycle.ts';
import type { JobEvent } from '../job-events.ts';
import type { LifeEvent } from './held-job.ts';

const PROGRESS_MS = 200;
const MAX_WAITING = 256;

interface Waiting {
  readonly isProgress: boolean;
  readonly bytes: Uint8Array;
}

export class EventWriter {
  readonly #log: EventLog;
  readonly #job: string;
  readonly #now: () => number;
  readonly #waiting: Waiting[] = [];
  #lastProgressMs = Number.NEGATIVE_INFINITY;
  #pump: Promise<void> | null = null;

  constructor(log: EventLog, job: string, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#job = job;
    this.#now = now;
  }

  write(attempt: number, event: JobEvent | LifeEvent): void {
    const isProgress = event.kind === 'stage-progress';
    if (isProgress) {
      if (event.done < event.steps && this.#now() - this.#lastProgressMs < PROGRESS_MS) return;
      this.#lastProgressMs = this.#now();
    }
    if (this.#waiting.length >= MAX_WAITING) this.#dropOne();
    this.#waiting.push({ isProgress, bytes: encodeEvent(attempt, event) });
    this.#pump ??= this.#run();
  }

  /** Resolves when all that was written is in the log, was refused, or after this time. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.#pump !== null) await within(this.#pump, timeoutMs);
  }

  async #run(): Promise<void> {
    // After this turn, so that `#pump` is set before it is cleared.
    await null;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      // An event that cannot be stored is no reason to stop a job; the record says what became of it.
      await this.#log.append(this.#job, next.bytes).catch(() => {});
    }
    this.#pump = null;
  }

  #dropOne(): void {
    const progress = this.#waiting.findIndex(({ isProgress }) => isProgress);
    this.#waiting.splice(Math.max(progress, 0), 1);
  }
}

/** The stored form of an event. */
export function encodeEvent(attempt: number, event: JobEvent | LifeEvent): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ time: new Date().toISOString(), attempt, event }));
}
