// Which splits of a budget between heads and neurons a gradual step tries where the divergence of what they leave decides, and not
// their importance.
import type { Masks } from './masks.ts';
import { masksOfSplit, type SearchProblem, type Split, splitsOf } from './search.ts';

/** Ways from the best number of heads to either end of the range. */
const WAYS = [1 / 4, 1 / 2];
/** Masks at the most. */
export const MOST_SPLITS = 1 + 2 * WAYS.length;

/** The masks of `searchMasks`, then those of up to four other numbers of heads, by falling total importance, the one with more
 * heads first where totals are equal. The range is of all numbers that keep every guarded head, fit the budget and leave
 * neurons to go: where one head more takes no neuron away, that is better in any case. With h the best by importance they lie
 * a quarter of the way from h to either end of the range and half of it, in whole heads, away from h.
 * @returns masks with all scales 1; those of `searchMasks` alone where the budget cannot buy the guards.
 * @throws as `searchMasks`. */
export function splitMasks(problem: SearchProblem): Masks[] {
  const { order, splits, best } = splitsOf(problem);
  const range = splits.filter(
    ({ heads, neurons }, at) => heads >= order.guarded && splits[at + 1]?.neurons !== neurons,
  );
  if (range.length === 0) return [masksOfSplit(problem, order, best)];
  const [low, high] = [range[0].heads, range[range.length - 1].heads];
  const tried = new Set([best]);
  for (const way of WAYS) {
    tried.add(splits[best.heads - Math.ceil(way * (best.heads - low))]);
    tried.add(splits[best.heads + Math.ceil(way * (high - best.heads))]);
  }
  const byTotal = (a: Split, b: Split) => b.total - a.total || b.heads - a.heads;
  return [...tried].sort(byTotal).map((split) => masksOfSplit(problem, order, split));
}
