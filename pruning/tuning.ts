// The tuning of one sub-layer: from its sums to the scales that go into the student, with the ladder that decides how
// strongly they are damped. Nothing is silent: the result says which rung was kept and what every tried one gave.
//
// Ladder: the first rung is the published system ("reference") or the weakest ridge; where the mean squared residual on
// held-out positions does not fall, stronger ridges follow in the order of the settings; where none lowers it, the
// scales stay 1 ("unscaled").
import { EspalierError } from '../shared/errors.ts';
import { meanSquaredResidual, solveReference, solveRidge } from './damped-solve.ts';
import type { LinearAlgebra } from './linear-algebra.ts';
import {
  addSystems,
  checkFinite,
  outputProjection,
  type ScaleSystem,
  type SubLayerSums,
  scaleSystem,
} from './normal-equations.ts';
import type { TuningSettings } from './tuning-settings.ts';

export { DEFAULT_TUNING_SETTINGS, parseTuningSettings, type TuningSettings } from './tuning-settings.ts';

export interface ScaleProblem {
  /** Sums over the shards that are fitted. */
  readonly fit: SubLayerSums;
  /** Sums over the shards that judge; null or no positions: the first rung that can be solved is kept unjudged. */
  readonly heldOut: SubLayerSums | null;
  /** W [features, D], row-major float64: feature f's row is column f of Hugging Face's [out, in] matrix. */
  readonly outputWeight: Float64Array;
  /** Features of one scale: head size, or 1 for neurons. */
  readonly blockSize: number;
  /** One free constant for every output coordinate; solved for and dropped, which the LayerNorm that follows makes exact. */
  readonly withOffset: boolean;
  readonly settings: TuningSettings;
  readonly algebra: LinearAlgebra;
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

/** Solves the scales of one sub-layer. Kwon et al. 2022, section 4.3, with damping judged on held-out sums.
 * @throws EspalierError "not_finite" when a sum is not finite, "shape_mismatch" when sizes do not fit. */
export function solveScales(problem: ScaleProblem): ScaleSolution {
  const { fit, outputWeight, blockSize, withOffset, settings, algebra } = problem;
  const heldOut = problem.heldOut !== null && problem.heldOut.positions > 0 ? problem.heldOut : null;
  checkFinite(fit);
  if (heldOut) checkFinite(heldOut);
  if (outputWeight.some((value) => !Number.isFinite(value)))
    throw new EspalierError('not_finite', 'output weight: got a number that is not finite');
  const projection = outputProjection(
    outputWeight,
    { features: fit.features, hiddenSize: fit.hiddenSize, blockSize },
    algebra,
  );
  const fitSystem = scaleSystem(fit, projection, withOffset, algebra.between);
  algebra.between?.();
  const judge = heldOut && scaleSystem(heldOut, projection, withOffset, algebra.between);
  algebra.between?.();
  const residual = (scales: Float64Array) => (judge ? meanSquaredResidual(judge, scales) : null);
  const ones = new Float64Array(fitSystem.scales).fill(1);
  const before = residual(ones);
  const unscaled = { scales: ones, tried: [], heldOutBefore: before, heldOutAfter: before, refitted: false, offset: 0 };
  if (fitSystem.scales === 0) return { ...unscaled, rung: 'empty' };
  if (fit.positions === 0) return { ...unscaled, rung: 'unscaled' };

  const { kept, tried } = climb(fitSystem, { settings, algebra, before, residual });
  if (kept === null) return { ...unscaled, rung: 'unscaled', tried };
  // A system that could be solved on a part can be solved on the whole; where rounding says otherwise the part's stands.
  const onAll = settings.refitOnAll && judge ? kept.rung.solve(addSystems(fitSystem, judge), algebra) : null;
  const refitted = onAll !== null && allFinite(onAll);
  const solution = refitted ? onAll : kept.solution;
  return {
    scales: solution.subarray(0, fitSystem.scales).map((x) => x + 1),
    rung: kept.rung.name,
    tried,
    heldOutBefore: before,
    heldOutAfter: kept.heldOut,
    refitted,
    offset: withOffset ? solution[fitSystem.scales] + 1 : 0,
  };
}

interface Rung {
  readonly name: string;
  solve(system: ScaleSystem, algebra: LinearAlgebra): Float64Array | null;
}

interface KeptRung {
  readonly rung: Rung;
  /** x = s − 1 on the fitted sums. */
  readonly solution: Float64Array;
  readonly heldOut: number | null;
}

function ladder(settings: TuningSettings): Rung[] {
  const ridges = settings.ridgeLambdas.map(
    (lambda): Rung => ({ name: `ridge ${lambda}`, solve: (system, algebra) => solveRidge(system, lambda, algebra) }),
  );
  return settings.damping === 'reference' ? [{ name: 'reference', solve: solveReference }, ...ridges] : ridges;
}

/** Tries the rungs in order; `kept` is null where none lowers the held-out residual. */
function climb(
  system: ScaleSystem,
  judging: {
    settings: TuningSettings;
    algebra: LinearAlgebra;
    before: number | null;
    residual: (scales: Float64Array) => number | null;
  },
): { kept: KeptRung | null; tried: TriedRung[] } {
  const { settings, algebra, before, residual } = judging;
  const tried: TriedRung[] = [];
  let kept: KeptRung | null = null;
  for (const rung of ladder(settings)) {
    const solution = rung.solve(system, algebra);
    if (solution === null || !allFinite(solution)) {
      tried.push({ rung: rung.name, heldOut: null });
      continue;
    }
    const heldOut = residual(solution.subarray(0, system.scales).map((x) => x + 1));
    tried.push({ rung: rung.name, heldOut });
    const limit: number | null = kept?.heldOut ?? before;
    if (heldOut !== null && limit !== null && !(heldOut < limit)) continue;
    kept = { rung, solution, heldOut };
    // Without held-out sums nothing can tell the rungs apart.
    if (settings.choice === 'first' || heldOut === null) break;
  }
  return { kept, tried };
}

function allFinite(values: Float64Array): boolean {
  return values.every((value) => Number.isFinite(value));
}
