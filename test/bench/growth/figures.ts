// What `npm run bench:growth` finds, as its JSON file has it, and how growth is judged.

export const AXES = ['samples', 'tokens', 'layers', 'workers', 'simulated'] as const;
/** "simulated": workers that answer at once, of which there can be many. */
export type Axis = (typeof AXES)[number];

export const STAGES = ['load', 'fisher', 'search', 'rearrange', 'tune', 'all'] as const;
export type GrowthStage = (typeof STAGES)[number];

export interface CurvePoint {
  readonly x: number;
  /** Wall time by stage. "all" is the whole job, with export and the timing of its result. */
  readonly seconds: Readonly<Partial<Record<GrowthStage, number>>>;
  /** User and system time; null where workers only pretend. */
  readonly cpuSeconds: { readonly coordinator: number; readonly workers: number | null };
  /** Peak of the coordinator's process. */
  readonly coordinatorPeakBytes: number;
  /** Over the coordinator's sockets; null: not counted. */
  readonly bytes: { readonly in: number; readonly out: number } | null;
}

export interface Curve {
  readonly axis: Axis;
  /** By x, ascending. */
  readonly points: readonly CurvePoint[];
}

export interface GrowthFigures {
  readonly schema: 1;
  readonly machine: string;
  readonly repeats: number;
  readonly curves: readonly Curve[];
}

/** Exponent of the power law through two points: 1 is linear, 0 constant. NaN where a value is 0. */
export function exponent(from: readonly [x: number, y: number], to: readonly [x: number, y: number]): number {
  return Math.log(to[1] / from[1]) / Math.log(to[0] / from[0]);
}

export interface Growth {
  /** Exponent over the whole curve. */
  readonly whole: number;
  /** Exponent, over the upper half, of what lies above the first point, in size and cost alike: what costs the same at any size
   * hides nothing there. null where the upper half does not lie above. */
  readonly above: number | null;
}

export function growthOf(
  points: readonly CurvePoint[],
  value: (point: CurvePoint) => number | null | undefined,
): Growth | null {
  const known = points.flatMap((point) => {
    const y = value(point);
    return y === null || y === undefined || !(y > 0) ? [] : [[point.x, y] as const];
  });
  if (known.length < 2) return null;
  const [first, last] = [known[0], known[known.length - 1]];
  const middle = known[Math.floor((known.length - 1) / 2)];
  const over = ([x, y]: readonly [number, number]) => [x - first[0], y - first[1]] as const;
  const [lower, upper] = [over(middle), over(last)];
  const isAbove = lower[0] > 0 && lower[1] > 0 && upper[1] > 0;
  return { whole: exponent(first, last), above: isAbove ? exponent(lower, upper) : null };
}

/** By how much an exponent over samples may exceed 1: one run on a shared machine differs from the next by a fifth, which over
 * the upper half of a curve of six doublings, three of them, is 0.1. */
const TOLERANCE = 0.15;

/** What is judged. Bytes are not: where Grams take the place of rows they rise once, and stay below linear from there. */
const JUDGED: Readonly<Record<string, (point: CurvePoint) => number | null | undefined>> = {
  'CPU time of the coordinator': ({ cpuSeconds }) => cpuSeconds.coordinator,
  'CPU time of the workers': ({ cpuSeconds }) => cpuSeconds.workers,
  'wall time of the whole job': ({ seconds }) => seconds.all,
  'memory of the coordinator': ({ coordinatorPeakBytes }) => coordinatorPeakBytes,
};
/** Memory above the first point is what the collector of garbage left for later: only the whole is judged. */
const WHOLE_ALONE = ['memory of the coordinator'];

/** What of a curve over samples grows faster than linear, in words. */
export function faultsOf({ axis, points }: Curve): string[] {
  if (axis !== 'samples') return [];
  return Object.entries(JUDGED).flatMap(([what, value]) => {
    const growth = growthOf(points, value);
    if (growth === null) return [];
    const above = WHOLE_ALONE.includes(what) ? null : growth.above;
    if (Math.max(growth.whole, above ?? growth.whole) <= 1 + TOLERANCE) return [];
    const found = [growth.whole, ...(above === null ? [] : [above])].map((value) => value.toFixed(2));
    return [`${what} over samples: got exponents ${found.join(' and ')}, expected at most ${1 + TOLERANCE}`];
  });
}

/** The run whose processors took the median time. */
export function medianPoint(runs: readonly CurvePoint[]): CurvePoint {
  const cost = ({ cpuSeconds }: CurvePoint) => cpuSeconds.coordinator + (cpuSeconds.workers ?? 0);
  const sorted = [...runs].sort((a, b) => cost(a) - cost(b));
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
