// The tuning of one sub-layer: from its sums to the scales that go into the student, with the ladder that decides how
// strongly they are damped. Nothing is silent: the result says which rung was kept and what every tried one gave.
//
// Ladder: the first rung is the published system ("reference") or the weakest ridge; where the mean squared residual on
// held-out positions does not fall, stronger ridges follow in the order of the settings; where none lowers it, the
// scales stay 1 ("unscaled").
import type { TuningSettings } from './tuning-settings.ts';

export { DEFAULT_TUNING_SETTINGS, parseTuningSettings, type TuningSettings } from './tuning-settings.ts';

/** The normal equations of a sub-layer's scales, wherever their numbers lie: finite, all of them. */
export interface ScaleSystem {
  /** k; may be 0. */
  readonly scales: number;
  /** Positions that were summed. */
  readonly positions: number;
}

/** How a system is damped: the published system, or a ridge of lambda times the mean diagonal. */
export type Damping = { readonly kind: 'reference' } | { readonly kind: 'ridge'; readonly lambda: number };

/** A damped solution. */
export interface Solved {
  /** s − 1, [k], and with an offset that less 1 as the last of [k + 1]. */
  readonly x: Float64Array;
  /** Mean squared residual per coordinate of the judge; null without one. */
  readonly heldOut: number | null;
}

/** What the ladder needs to know of systems. */
export interface ScaleAlgebra<System extends ScaleSystem> {
  /** Mean squared residual per output coordinate at scale 1. */
  residualAtOne(system: System): number;
  /** Solves for x = s − 1, so that damping pulls scales towards 1.
   * @returns null when the damped matrix is not positive definite. */
  solve(system: System, damping: Damping, judge: System | null): Solved | null;
  /** The system of two disjoint sets of positions together. */
  add(a: System, b: System): System;
}

export interface ScaleProblem<System extends ScaleSystem> {
  /** Of the shards that are fitted. */
  readonly fit: System;
  /** Of the shards that judge; null or no positions: the first rung that can be solved is kept unjudged. */
  readonly heldOut: System | null;
  readonly settings: TuningSettings;
  readonly algebra: ScaleAlgebra<System>;
}

/** A rung that was tried. */
export interface TriedRung {
  readonly rung: string;
  /** Mean squared residual per held-out output coordinate; null when not solvable, or nothing is held out. */
  readonly heldOut: number | null;
}

export interface ScaleSolution {
  /** [k]; all 1 for "unscaled". */
  readonly scales: Float64Array;
  /** "reference", "ridge 0.001" …, "unscaled", or "empty" when nothing is kept. */
  readonly rung: string;
  readonly tried: readonly TriedRung[];
  /** Mean squared residual per held-out output coordinate at scale 1; null when nothing is held out. */
  readonly heldOutBefore: number | null;
  /** The same for the kept rung as solved on the fitted sums alone. */
  readonly heldOutAfter: number | null;
  /** True where the scales come from fitted and held-out sums together, false where from the fitted ones alone. */
  readonly refitted: boolean;
  /** The constant that was fitted and dropped; 0 without an offset. */
  readonly offset: number;
}

/** Solves the scales of one sub-layer. Kwon et al. 2022, section 4.3, with damping judged on held-out sums. */
export function solveScales<System extends ScaleSystem>(problem: ScaleProblem<System>): ScaleSolution {
  const { fit, settings, algebra } = problem;
  const judge = problem.heldOut !== null && problem.heldOut.positions > 0 ? problem.heldOut : null;
  const before = judge && algebra.residualAtOne(judge);
  const unscaled = {
    ...{ scales: new Float64Array(fit.scales).fill(1), tried: [], refitted: false, offset: 0 },
    ...{ heldOutBefore: before, heldOutAfter: before },
  };
  if (fit.scales === 0) return { ...unscaled, rung: 'empty' };
  if (fit.positions === 0) return { ...unscaled, rung: 'unscaled' };

  const { kept, tried } = climb(problem, judge, before);
  if (kept === null) return { ...unscaled, rung: 'unscaled', tried };
  // A system that could be solved on a part can be solved on the whole; where rounding says otherwise the part's stands.
  const onAll = settings.refitOnAll && judge ? algebra.solve(algebra.add(fit, judge), kept.rung.damping, null) : null;
  const refitted = onAll !== null && allFinite(onAll.x);
  const { x } = refitted ? onAll : kept.solved;
  return {
    scales: x.subarray(0, fit.scales).map((value) => value + 1),
    rung: kept.rung.name,
    tried,
    heldOutBefore: before,
    heldOutAfter: kept.solved.heldOut,
    refitted,
    offset: x.length > fit.scales ? x[fit.scales] + 1 : 0,
  };
}

interface Rung {
  readonly name: string;
  readonly damping: Damping;
}

interface KeptRung {
  readonly rung: Rung;
  /** On the fitted sums. */
  readonly solved: Solved;
}

function ladder(settings: TuningSettings): Rung[] {
  const ridges = settings.ridgeLambdas.map(
    (lambda): Rung => ({ name: `ridge ${lambda}`, damping: { kind: 'ridge', lambda } }),
  );
  return settings.damping === 'reference' ? [{ name: 'reference', damping: { kind: 'reference' } }, ...ridges] : ridges;
}

/** Tries the rungs in order; `kept` is null where none lowers the held-out residual. */
function climb<System extends ScaleSystem>(
  { fit, settings, algebra }: ScaleProblem<System>,
  judge: System | null,
  before: number | null,
): { kept: KeptRung | null; tried: TriedRung[] } {
  const tried: TriedRung[] = [];
  let kept: KeptRung | null = null;
  for (const rung of ladder(settings)) {
    const solved = algebra.solve(fit, rung.damping, judge);
    if (solved === null || !allFinite(solved.x)) {
      tried.push({ rung: rung.name, heldOut: null });
      continue;
    }
    const { heldOut } = solved;
    tried.push({ rung: rung.name, heldOut });
    const limit: number | null = kept?.solved.heldOut ?? before;
    if (heldOut !== null && limit !== null && !(heldOut < limit)) continue;
    kept = { rung, solved };
    // Without held-out sums nothing can tell the rungs apart.
    if (settings.choice === 'first' || heldOut === null) break;
  }
  return { kept, tried };
}

function allFinite(values: Float64Array): boolean {
  return values.every((value) => Number.isFinite(value));
}
