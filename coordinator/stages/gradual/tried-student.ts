// What a step makes: one student, or, where divergence divides heads and neurons, several to choose from.
import type { Masks } from '../../../pruning/masks.ts';
import type { Student } from '../../job/student.ts';
import type { GradualStepReport, RefitReport } from '../../prune-report.ts';

/** What is kept. */
export interface FoundMasks {
  readonly value: Masks;
  readonly seconds: Pick<GradualStepReport['seconds'], 'search' | 'rearrange'>;
}

/** What is made of what is kept. */
export interface RefittedStudent {
  readonly student: Student;
  readonly reports: readonly RefitReport[];
  readonly seconds: number;
}

export interface TriedStudent {
  readonly found: FoundMasks;
  readonly refit: RefittedStudent;
  /** From the dense model's outputs; null: nothing judges. */
  readonly divergence: { readonly value: number | null; readonly seconds: number };
}

/** The one of the least divergence, of equals the first. @param tried one, or several that were judged. */
export function closestOf(tried: readonly TriedStudent[]): TriedStudent {
  return tried.reduce((a, b) => (b.divergence.value! < a.divergence.value! ? b : a));
}

/** What is told of those that were judged. */
export function splitsOf(tried: readonly TriedStudent[]): NonNullable<GradualStepReport['splits']> {
  return tried.map(({ refit, divergence }) => ({ heads: headsOf(refit.student.masks), divergence: divergence.value! }));
}

/** Heads that masks keep, of all layers. */
export function headsOf({ headMask }: Masks): number {
  return headMask.reduce((sum, bit) => sum + bit, 0);
}

/** Of all that a step tried. */
export function secondsOf(tried: readonly TriedStudent[]): Omit<GradualStepReport['seconds'], 'gradients'> {
  const sum = (of: (own: TriedStudent) => number) => tried.reduce((seconds, own) => seconds + of(own), 0);
  const isRearranged = tried[0].found.seconds.rearrange !== undefined;
  return {
    search: sum(({ found }) => found.seconds.search),
    ...(isRearranged && { rearrange: sum(({ found }) => found.seconds.rearrange!) }),
    refit: sum(({ refit }) => refit.seconds),
    divergence: sum(({ divergence }) => divergence.seconds),
  };
}
