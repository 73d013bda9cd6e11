// The refit of one sub-layer's output projection: from its sums to the weights that go into the student, with the ladder that
// decides how strongly they are held to what the student has. Nothing is silent: the result says which rung was kept and what
// every one gave.
//
// With X the student's features and a last column of ones, R what they should add up to, D the weights of positions, W the
// projection with its bias as the last row, W₀ that of the student and m the mean diagonal of XᵀDX over the features:
//   (XᵀDX + λ m I) W = XᵀDR + λ m W₀, the row of the bias not damped.
// Ladder: each lambda in rising order, then the projection as it is ("unchanged"). Held-out positions judge what the fitted ones
// gave: the smallest weighted squared error is kept, of equals the later. Without held-out positions nothing can tell rungs
// apart, and the smallest lambda that can be solved is kept.
import type { RefitSettings } from './refit-settings.ts';

export { DEFAULT_REFIT_SETTINGS, parseRefitSettings, type RefitSettings } from './refit-settings.ts';

/** The normal equations of a sub-layer's projection, wherever their numbers lie: finite, all of them. */
export interface RefitSystem {
  /** Positions that were summed. */
  readonly positions: number;
}

/** A solution for one lambda. */
export interface Refitted<Projection> {
  readonly projection: Projection;
  /** Mean weighted squared error per coordinate of the judge; null without one. */
  readonly heldOut: number | null;
}

/** What the ladder needs to know of systems. */
export interface RefitAlgebra<System extends RefitSystem, Projection> {
  /** Solves a system once for each lambda, and judges these and the projection as it is.
   * @returns solutions in the order of the lambdas, null where the damped matrix is not positive definite or a number is not
   * finite; `unchanged` as `heldOut`. */
  solve(
    system: System,
    lambdas: readonly number[],
    judge: System | null,
  ): { readonly unchanged: number | null; readonly solutions: readonly (Refitted<Projection> | null)[] };
  /** The system of two disjoint sets of positions together. */
  add(a: System, b: System): System;
}

export interface RefitProblem<System extends RefitSystem, Projection> {
  /** Of the shards that are fitted. */
  readonly fit: System;
  /** Of the shards that judge; null or no positions: the smallest lambda that can be solved is kept unjudged. */
  readonly heldOut: System | null;
  readonly settings: RefitSettings;
  readonly algebra: RefitAlgebra<System, Projection>;
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
export function refitProjection<System extends RefitSystem, Projection>(
  problem: RefitProblem<System, Projection>,
): { readonly projection: Projection | null; readonly report: RefitReport } {
  const { fit, settings, algebra } = problem;
  const judge = problem.heldOut !== null && problem.heldOut.positions > 0 ? problem.heldOut : null;
  if (fit.positions === 0) return { projection: null, report: unchanged([], null) };
  if (judge === null) return unjudged(problem);

  const { unchanged: before, solutions } = algebra.solve(fit, settings.lambdas, judge);
  const tried = solutions.map((found, i) => ({ rung: rungOf(settings.lambdas[i]), heldOut: found?.heldOut ?? null }));
  tried.push({ rung: UNCHANGED, heldOut: before });
  let best = solutions.length;
  for (let i = solutions.length - 1; i >= 0; i--) {
    const { heldOut } = tried[i];
    const limit = tried[best].heldOut;
    if (heldOut !== null && (limit === null || heldOut < limit)) best = i;
  }
  const kept = solutions[best] ?? null;
  if (kept === null) return { projection: null, report: unchanged(tried, before) };
  // A system that could be solved on a part can be solved on the whole; where rounding says otherwise the part's stands.
  const [onAll] = algebra.solve(algebra.add(fit, judge), [settings.lambdas[best]], null).solutions;
  return {
    projection: (onAll ?? kept).projection,
    report: {
      ...{ rung: tried[best].rung, tried, heldOutBefore: before, heldOutAfter: kept.heldOut },
      refitted: onAll !== null,
    },
  };
}

/** Rung of a projection that stays as it is. */
export const UNCHANGED = 'unchanged';

function rungOf(lambda: number): string {
  return `ridge ${lambda}`;
}

function unchanged(tried: readonly TriedRefit[], before: number | null): RefitReport {
  return { rung: UNCHANGED, tried, heldOutBefore: before, heldOutAfter: before, refitted: false };
}

function unjudged<System extends RefitSystem, Projection>({
  fit,
  settings,
  algebra,
}: RefitProblem<System, Projection>): { projection: Projection | null; report: RefitReport } {
  const tried: TriedRefit[] = [];
  for (const lambda of settings.lambdas) {
    const [found] = algebra.solve(fit, [lambda], null).solutions;
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
