// How much of a metric a pruned model loses against the dense one on the same examples, and how much more it may lose on
// others: a paired bootstrap over examples (Efron and Tibshirani 1993, chapters 13 and 16).
import { randomStream } from './random.ts';

/** One model's metric as a function of how often each example counts. */
export interface ResampledMetric {
  readonly examples: number;
  /** One more than the examples where an imagined example follows them, else as many. */
  readonly units: number;
  /** @param weights [units]. */
  value(weights: Int32Array): number;
}

export interface DropBound {
  /** The models' metrics on the examples, each counted once. */
  readonly dense: number;
  readonly pruned: number;
  /** dense − pruned; negative where the pruned model is better. */
  readonly drop: number;
  /** What the drop on examples of the same kind does not exceed, with the confidence asked for; >= `drop`. */
  readonly bound: number;
}

export const RESAMPLES = 4000;

/** Estimate and one-sided upper bound of the drop: the percentile of the drop over resamples of the examples, drawn with
 * replacement, the same for both models. A loss that no example shows yet would have no spread to be estimated from, so
 * one imagined example stands among those that are drawn, which the dense model answers right and the pruned one wrong:
 * where the models differ in k of n examples, all for the worse, resamples then hold about Poisson(k + 1) of them, as the
 * exact bound of such a share does (for k = 0 the rule of three, 3/n at 95 %).
 * @param confidence in (0, 1), of this bound alone. @param seed of the resamples. */
export function dropBound(
  dense: ResampledMetric,
  pruned: ResampledMetric,
  { confidence, seed }: { readonly confidence: number; readonly seed: number },
): DropBound {
  const { examples, units } = dense;
  const once = new Int32Array(units).fill(1, 0, examples);
  const values = { dense: dense.value(once), pruned: pruned.value(once) };
  const drop = values.dense - values.pruned;
  const random = randomStream(seed, 'max-drop-resamples');
  const weights = new Int32Array(units);
  const drops = Float64Array.from({ length: RESAMPLES }, () => {
    weights.fill(0);
    for (let draw = 0; draw < units; draw++) weights[random.integer(units)] += 1;
    return dense.value(weights) - pruned.value(weights);
  }).sort();
  const bound = drops[Math.min(RESAMPLES, Math.ceil(confidence * (RESAMPLES + 1))) - 1];
  return { ...values, drop, bound: Math.max(drop, bound) };
}
