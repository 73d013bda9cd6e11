// Which job a coordinator takes next: pure, of what the index holds.
import { compareText } from './compare-text.ts';

/** What the choice looks at. */
export interface Candidate {
  readonly id: string;
  readonly campaign: string;
  readonly priority: number;
  readonly createdAt: string;
  readonly position: number;
}

/** The best of the jobs that may be claimed, or null: the highest priority; of those a job of the campaign with the fewest
 * running jobs, of all coordinators; of those the oldest, and in one campaign the first of its file. */
export function chooseJob<Job extends Candidate>(
  claimable: Iterable<Job>,
  runningOf: ReadonlyMap<string, number>,
): Job | null {
  let best: Job | null = null;
  for (const job of claimable) if (best === null || compare(job, best, runningOf) < 0) best = job;
  return best;
}

function compare(a: Candidate, b: Candidate, runningOf: ReadonlyMap<string, number>): number {
  return (
    b.priority - a.priority ||
    (runningOf.get(a.campaign) ?? 0) - (runningOf.get(b.campaign) ?? 0) ||
    compareText(a.createdAt, b.createdAt) ||
    compareText(a.campaign, b.campaign) ||
    a.position - b.position
  );
}
