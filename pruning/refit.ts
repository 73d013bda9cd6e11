// The refit of one sub-layer's output projection: from its sums to the weights that go into the student, with the ladder that
// decides how strongly they are held to what the student has. Nothing is silent: the result says which rung was kept and what
// every one gave.
//
// With X the student's features and a last column of ones, R what they should add up to, D the weights of positions, W the
// projection with its bias as the last row, W₀ that of the student and m the mean diagonal of XᵀDX over the features:
//   (XᵀDX + λ m I) W = XᵀDR + λ m W₀, the row of the bias not damped.
// Ladder: the projection as it is ("unchanged"), then each lambda from the largest on, as long as the weighted squared error on
// held-out positions of what the fitted ones gave falls: the last that lowered it is kept. Over falling lambdas the error falls and
// then rises (docs/method.md), so that rungs further on are not solved. Without held-out positions nothing can tell rungs apart, and
// the smallest lambda that can be solved is kept.
import type { RefitSettings } from './refit-settings.ts';

export { DEFAULT_REFIT_SETTINGS, parseRefitSettings, type RefitSettings } from './refit-settings.ts';

/** The normal equations of a sub-layer's projection, wherever their numbers lie: finite, all of them. */
export interface RefitSystem {
  /** Positions that were summed. */
  readonly positions: number;
}

/** A system that judges. */
export interface RefitJudge extends RefitSystem {
  /** Mean weighted squared error per coordinate of the projection as it is, >= 0. */
  readonly unchanged: number;
}

/** A solution for one lambda. */
export interface Refitted<Projection> {
  readonly projection: Projection;
  /** Mean weighted squared error per coordinate of the judge, >= 0; null without one. */
  readonly heldOut: number | null;
}

/** What the ladder needs to know of systems. */
export interface RefitAlgebra<System extends RefitSystem, Judge extends System, Projection> {
  /** @returns null where the damped matrix is not positive definite or a number is not finite. */
  solve(system: System, lambda: number, judge: Judge | null): Refitted<Projection> | null;
  /** The system of two disjoint sets of positions together. */
  add(a: System, b: System): System;
}

export interface RefitProblem<System extends RefitSystem, Judge extends System & RefitJudge, Projection> {
  /** Of the shards that are fitted. */
  readonly fit: System;
  /** Of the shards that judge; null or no positions: the smallest lambda that can be solved is kept unjudged. */
  readonly heldOut: Judge | null;
  readonly settings: RefitSettings;
  readonly algebra: RefitAlgebra<System, Judge, Projection>;
}

/** A rung that was tried. */
export interface TriedRefit {
  readonly rung: string;
  /** Mean weighted squared error per held-out output coordinate; null when not solvable, or nothing is held out. */
  readonly heldOut: number | null;
}

export interface RefitReport {
  /** "ridge 0.001" …, or "unchanged". */
  readonly rung: string;
  /** By rising lambda, "unchanged" last. */
  readonly tried: readonly TriedRefit[];
  /** Mean weighted squared error per held-out output coordinate of the projection as it was; null when nothing is held out. */
  readonly heldOutBefore: number | null;
  /** The same for the kept rung as solved on the fitted sums alone. */
  readonly heldOutAfter: number | null;
  /** True where the projection comes from fitted and held-out sums together, false where from the fitted ones alone or
   * unchanged. */
  readonly refitted: boolean;
}

/** Refits one sub-layer. @returns its projection, null where it stays as it is. */
export function refitProjection<System extends RefitSystem, Judge extends System & RefitJudge, Projection>(
  problem: RefitProblem<System, Judge, Projection>,
): { readonly projection: Projection | null; readonly report: RefitReport } {
  const { fit, algebra } = problem;
  const judge = problem.heldOut !== null && problem.heldOut.positions > 0 ? problem.heldOut : null;
  if (fit.positions === 0) return { projection: null, report: unchanged([], null) };
  if (judge === null) return unjudged(problem);

  const { kept, tried } = descend(problem, judge);
  if (kept === null) return { projection: null, report: unchanged(tried, judge.unchanged) };
  // A system that could be solved on a part can be solved on the whole; where rounding says otherwise the part's stands.
  const onAll = algebra.solve(algebra.add(fit, judge), kept.lambda, null);
  return {
    projection: (onAll ?? kept.solved).projection,
    report: {
      ...{ rung: rungOf(kept.lambda), tried, heldOutBefore: judge.unchanged, heldOutAfter: kept.solved.heldOut },
      refitted: onAll !== null,
    },
  };
}

interface KeptRung<Projection> {
  readonly lambda: number;
  /** On the fitted sums. */
  readonly solved: Refitted<Projection>;
}

/** Tries weaker and weaker pulls as long as each is better than the one before; `kept` is null where none is. What cannot be solved
 * with one lambda cannot be with a smaller one. */
function descend<System extends RefitSystem, Judge extends System & RefitJudge, Projection>(
  { fit, settings, algebra }: RefitProblem<System, Judge, Projection>,
  judge: Judge,
): { kept: KeptRung<Projection> | null; tried: TriedRefit[] } {
  const tried: TriedRefit[] = [{ rung: UNCHANGED, heldOut: judge.unchanged }];
  let kept: KeptRung<Projection> | null = null;
  let least = judge.unchanged;
  for (const lambda of settings.lambdas.toReversed()) {
    // Nothing is better.
    if (least === 0) break;
    const solved = algebra.solve(fit, lambda, judge);
    const heldOut = solved?.heldOut ?? null;
    tried.unshift({ rung: rungOf(lambda), heldOut });
    if (solved === null || heldOut === null || !(heldOut < least)) break;
    kept = { lambda, solved };
    least = heldOut;
  }
  return { kept, tried };
}

/** Rung of a projection that stays as it is. */
export const UNCHANGED = 'unchanged';

function rungOf(lambda: number): string {
  return `ridge ${lambda}`;
}

function unchanged(tried: readonly TriedRefit[], before: number | null): RefitReport {
  return { rung: UNCHANGED, tried, heldOutBefore: before, heldOutAfter: before, refitted: false };
}

function unjudged<System extends RefitSystem, Judge extends System & RefitJudge, Projection>({
  fit,
  settings,
  algebra,
}: RefitProblem<System, Judge, Projection>): { projection: Projection | null; report: RefitReport } {
  const tried: TriedRefit[] = [];
  for (const lambda of settings.lambdas) {
    const found = algebra.solve(fit, lambda, null);
    const rung = rungOf(lambda);
    tried.push({ rung, heldOut: null });
    if (found !== null)
      return {
        projection: found.projection,
        report: { rung, tried, heldOutBefore: null, heldOutAfter: null, refitted: false },
      };
  }
  return { projection: null, report: unchanged(tried, null) };
}
