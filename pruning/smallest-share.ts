// Which shares to try when the smallest one that passes is sought: bisection, told of everything that was tried before.

/** Shares of MACs that are tried, ascending: whole hundredths. */
const STEPS = 100;

/** Those from `smallest` on. @param smallest share that keeps anything. */
export function sharesFrom(smallest: number): number[] {
  return Array.from({ length: STEPS - 1 }, (_, i) => (i + 1) / STEPS).filter((share) => share >= smallest);
}

/** Most shares that a search from nothing known tries. */
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
