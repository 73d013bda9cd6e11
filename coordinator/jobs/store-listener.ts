// What the store of jobs tells whoever counts it. Nothing depends on who listens, and nothing here may throw.
import type { JobState } from './job-record.ts';

export interface StoreListener {
  /** This process has stored a job in a state that it was not in, or not by this claim. */
  jobEntered(state: JobState): void;
  /** @param seconds from its first claim. */
  jobDone(seconds: number): void;
  /** It was claimed from a coordinator whose lease had lapsed. */
  jobTakenOver(): void;
  /** A job that this process ran is another's now. */
  leaseLost(): void;
}

export const SILENT_STORE_LISTENER: StoreListener = {
  jobEntered() {},
  jobDone() {},
  jobTakenOver() {},
  leaseLost() {},
};
