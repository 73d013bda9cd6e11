// Which shares to try when the smallest one that passes is sought, told of what was tried: by bisection, where each share costs
// the same, or down a walk, where each share of the walk is made from the one before.

/** What one search tries. The same answers give the same shares, whatever other searches tried. */
export interface ShareOrder {
  /** The share to try next; null where no other is left to try. @param passed what this search has tried. */
  next(passed: ReadonlyMap<number, boolean>): number | null;
  /** Among how many parts a level of error of the whole search is divided, so that it holds for what is found (Bonferroni).
   * Assumes that less loses more: then what follows a wrong refusal is larger than a share that passes, and only judgements
   * that come after right ones alone can be wrongly favourable. */
  readonly errorParts: number;
}

/** Shares of MACs that are tried, ascending: whole hundredths. */
const STEPS = 100;

/** Those from `smallest` on. @param smallest share that keeps anything. */
export function sharesFrom(smallest: number): number[] {
  return Array.from({ length: STEPS - 1 }, (_, i) => (i + 1) / STEPS).filter((share) => share >= smallest);
}

/** @param shares that may be tried, ascending. */
export function bisectionOrder(shares: readonly number[]): ShareOrder {
  return { next: (passed) => nextShare(shares, passed), errorParts: mostTries(shares) };
}

/** Most shares between the last of a walk that passes and the first that does not. */
export const MOST_BETWEEN = 2;

/** Down the walk to the first share that does not pass, then by bisection of the hundredths between it and the one before,
 * MOST_BETWEEN of them at the most. Nothing below the first that does not pass is ever tried. The walk is one part of an
 * error: tests in an order that is fixed, up to the first that fails, each at the whole level, are wrong together with no
 * more than that level (fixed sequence, Westfall and Krishen 2001).
 * @param walk falling, below 1. */
export function walkOrder(walk: readonly number[]): ShareOrder {
  return {
    next(passed) {
      const at = walk.findIndex((share) => passed.get(share) !== true);
      if (at < 0) return null;
      if (!passed.has(walk[at])) return walk[at];
      const between = sharesFrom(walk[at]).filter((share) => share > walk[at] && share < (walk[at - 1] ?? 1));
      const tried = new Map([...passed].filter(([share]) => between.includes(share)));
      return tried.size < MOST_BETWEEN ? nextShare(between, tried) : null;
    },
    errorParts: 1 + MOST_BETWEEN,
  };
}

/** Most shares that bisection tries. */
export function mostTries(shares: readonly number[]): number {
  return Math.ceil(Math.log2(shares.length + 1));
}

/** The smallest share that was tried and passed. @param passed by share. */
export function smallestPassing(passed: ReadonlyMap<number, boolean>): number | null {
  const passing = [...passed].filter(([, isPassing]) => isPassing).map(([share]) => share);
  return passing.length === 0 ? null : Math.min(...passing);
}

/** The share to try next: the middle between the smallest that passes and the largest below it that does not; null when
 * they are neighbours. The largest of all is tried only where nothing else passed. Assumes that less loses more; where
 * what was tried says otherwise, it goes on below the smallest that passes and finds one that passes all the same, but
 * perhaps not the smallest there is. @param shares ascending. @param passed shares that were tried. */
export function nextShare(shares: readonly number[], passed: ReadonlyMap<number, boolean>): number | null {
  const best = smallestPassing(passed);
  const above = best === null ? shares.length : shares.findIndex((share) => share >= best);
  let below = above - 1;
  while (below >= 0 && passed.get(shares[below]) !== false) below -= 1;
  return above - below <= 1 ? null : shares[Math.floor((above + below) / 2)];
}
