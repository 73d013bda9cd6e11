// One pruned model of a quality study, as its results file keeps it.
import type { PruneReport } from '../../coordinator/prune-report.ts';

export interface StudyRecord {
  readonly model: string;
  readonly seed: number;
  readonly budget: number;
  readonly samples: number;
  readonly metric: string;
  readonly dense: number;
  readonly score: number;
  /** MACs left, as a fraction of the dense model's. */
  readonly macs: number;
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
  /** From the dense model, held out; null where the method does not tell. */
  readonly divergence: number | null;
  /** Of the whole job with all of its budgets. */
  readonly seconds: number;
  readonly device: string;
}

/** @param model what the study calls it. */
export function studyRecord(model: string, report: PruneReport): StudyRecord {
  const { seed, budget, samples, quality, macs, heads, neurons, seconds, method, steps, deviceClass } = report;
  const score = method === 'gradual' ? quality.gradual : quality.tune;
  return {
    ...{ model, seed, budget, samples },
    ...{ metric: report.metric ?? '', dense: quality.dense ?? Number.NaN, score: score ?? Number.NaN },
    ...{ macs: macs.pruned / macs.dense, heads, neurons },
    divergence: steps?.at(-1)?.divergence ?? null,
    seconds: seconds.total,
    device: `${deviceClass.kind} ${deviceClass.model}`,
  };
}

/** Scores times 100 of both, by the seeds that both have, rising. */
export function pairedScores(
  some: readonly Pick<StudyRecord, 'seed' | 'score'>[],
  others: readonly Pick<StudyRecord, 'seed' | 'score'>[],
): { readonly seeds: readonly number[]; readonly some: readonly number[]; readonly others: readonly number[] } {
  const of = (runs: typeof some) => new Map(runs.map(({ seed, score }) => [seed, 100 * score]));
  const [first, second] = [of(some), of(others)];
  const seeds = [...first.keys()].filter((seed) => second.has(seed)).sort((a, b) => a - b);
  return { seeds, some: seeds.map((seed) => first.get(seed)!), others: seeds.map((seed) => second.get(seed)!) };
}
