// What `npm run bench:gpus` finds, as its JSON file has it, and what is asked of it.
import { type Spread, spreadOf } from '../gpu/figures.ts';
import type { SyntheticModel } from '../synthetic-model.ts';

export const PARTS = ['queue', 'one'] as const;
/** "queue": many jobs through a cluster; "one": a job with local workers. */
export type Part = (typeof PARTS)[number];

/** How many times as fast two GPUs have to be as one. */
export const LEAST_RATIOS: Readonly<Record<Part, number>> = { queue: 1.8, one: 1.6 };

/** Stages of pruning, as a job's report has their seconds. */
export const PRUNING = ['fisher', 'search', 'rearrange', 'tune'] as const;
export const STAGES = ['load', ...PRUNING] as const;
export type Stage = (typeof STAGES)[number];
export type StageSeconds = Readonly<Record<Stage, number>>;

/** One run: a whole queue, or one job. */
export interface Run {
  /** Of a queue from the first claim to the end of the last job; of one job what pruning took: the sum of its stages without
   * load. */
  readonly seconds: number;
  /** Of a queue the mean of its jobs. */
  readonly stages: StageSeconds;
  /** Computing time of all workers by their number and `seconds`. */
  readonly busy: number;
  /** User and system time of the coordinator: of a queue between its first claim and its end, of one job from its start. */
  readonly coordinatorCpuSeconds: number;
  /** Digests of what was written, a job after the other; the same for any number of workers. */
  readonly results: readonly string[];
}

/** The runs with so many workers, without the warm-up. */
export interface WorkersFigures {
  readonly workers: number;
  readonly seconds: Spread;
  /** Medians. */
  readonly stages: StageSeconds;
  readonly busy: number;
  readonly coordinatorCpuSeconds: number;
}

export interface PartFigures {
  readonly part: Part;
  /** Of a run: those of the queue, or 1. */
  readonly jobs: number;
  readonly model: SyntheticModel;
  readonly samples: number;
  /** By workers, from 1. */
  readonly byWorkers: readonly WorkersFigures[];
}

export interface GpusFigures {
  readonly schema: 1;
  readonly machine: string;
  readonly device: 'cpu' | 'gpu';
  readonly repeats: number;
  readonly parts: readonly PartFigures[];
}

/** @throws RangeError without any. */
export function workersFigures(workers: number, runs: readonly Run[]): WorkersFigures {
  const median = (value: (run: Run) => number) => spreadOf(runs.map(value)).median;
  return {
    workers,
    seconds: spreadOf(runs.map(({ seconds }) => seconds)),
    stages: Object.fromEntries(
      STAGES.map((stage) => [stage, median(({ stages }) => stages[stage])]),
    ) as StageSeconds & {
      [name: string]: number;
    },
    busy: median(({ busy }) => busy),
    coordinatorCpuSeconds: median(({ coordinatorCpuSeconds }) => coordinatorCpuSeconds),
  };
}

/** Seconds of pruning: the sum of its stages. */
export function pruningSeconds(stages: StageSeconds): number {
  return PRUNING.reduce((sum, stage) => sum + stages[stage], 0);
}

/** How many times as fast so many workers are as one, by the medians. */
export function ratioOf({ byWorkers: [one] }: PartFigures, { seconds }: WorkersFigures): number {
  return one.seconds.median / seconds.median;
}

/** Where two workers gain less than is asked for, in words. */
export function faultsOf(figures: PartFigures): string[] {
  const two = figures.byWorkers.find(({ workers }) => workers === 2);
  if (two === undefined) return [];
  const [ratio, least] = [ratioOf(figures, two), LEAST_RATIOS[figures.part]];
  if (ratio >= least) return [];
  return [`${figures.part}: two workers are ${ratio.toFixed(2)} times as fast as one, expected at least ${least}`];
}
