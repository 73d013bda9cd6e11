// What a job's report knows of its seconds, by the name of a row.
import { type PruneReport, stepSeconds } from '../../../coordinator/prune-report.ts';

type Reported = Pick<PruneReport, 'seconds' | 'steps' | 'workerTimes'>;

/** Load; the method's stages, of all gradual steps together; each step; what workers computed, by kind of task, of all workers
 * together; "pruning", all stages but load. */
export function jobSeconds({ seconds, steps, workerTimes = [] }: Reported): Readonly<Record<string, number>> {
  const { fisher, search, rearrange, tune } = seconds;
  const stages = steps === undefined ? { fisher, search, rearrange, tune } : sumsOf(steps.map((step) => step.seconds));
  return {
    load: seconds.load,
    ...stages,
    ...Object.fromEntries((steps ?? []).map((step) => [`step ${step.share}`, stepSeconds(step)])),
    ...sumsOf(
      workerTimes.map((worker) => worker.seconds),
      'tasks ',
    ),
    pruning: Object.values(stages).reduce((sum, own) => sum + own, 0),
  };
}

function sumsOf(all: readonly Readonly<Record<string, number>>[], prefix = ''): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const own of all)
    for (const [name, value] of Object.entries(own)) sums[prefix + name] = (sums[prefix + name] ?? 0) + value;
  return sums;
}
