// The loss of a metric and its bound: against what the bootstrap's distribution is where it can be written down.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dropBound, type ResampledMetric } from '../../../pruning/drop-bound.ts';
import { randomStream } from '../../../pruning/random.ts';

/** Share of right answers. The imagined example comes last. */
function share(right: ArrayLike<number>, imagined: 0 | 1): ResampledMetric {
  const all = Float64Array.from([...Array.from(right), imagined]);
  return {
    examples: right.length,
    units: right.length + 1,
    value(weights) {
      let [hits, count] = [0, 0];
      for (let i = 0; i < weights.length; i++) {
        hits += weights[i] * all[i];
        count += weights[i];
      }
      return hits / count;
    },
  };
}

/** `lost` of n examples are right under the dense model alone, `won` under the pruned one alone. */
function compare(n: number, lost: number, won: number, confidence = 0.95, seed = 1) {
  const dense = Array.from({ length: n }, (_, i) => Number(i < n - won));
  const pruned = Array.from({ length: n }, (_, i) => Number(i >= lost));
  return dropBound(share(dense, 1), share(pruned, 0), { confidence, seed });
}

/** The smallest k with P(X <= k) >= p for a binomial X. */
function binomialQuantile(n: number, chance: number, p: number): number {
  let term = (1 - chance) ** n;
  let total = term;
  let k = 0;
  for (; total < p; k++) {
    term *= ((n - k) / (k + 1)) * (chance / (1 - chance));
    total += term;
  }
  return k;
}

describe('dropBound', () => {
  for (const [n, lost] of [
    [300, 0],
    [300, 1],
    [300, 10],
    [64, 4],
  ])
    it(`is the quantile of what resamples hold where ${lost} of ${n} differ, all for the worse`, () => {
      const { dense, pruned, drop, bound } = compare(n, lost, 0);
      assert.equal(dense, 1);
      assert.ok(Math.abs(pruned - (1 - lost / n)) < 1e-12 && Math.abs(drop - lost / n) < 1e-12);
      const direct = binomialQuantile(n + 1, (lost + 1) / (n + 1), 0.95);
      // A count; 4000 resamples may miss a quantile between two counts by one.
      assert.ok(Math.abs(bound * (n + 1) - direct) <= 1 + 1e-9, `${bound * (n + 1)} and ${direct}`);
    });

  it('says of models that never differ what the rule of three says', () => {
    assert.ok(Math.abs(compare(500, 0, 0).bound - 3 / 500) < 0.002);
  });

  it('is the normal bound where many differ both ways', () => {
    const [n, lost, won] = [2000, 160, 100];
    const { drop, bound } = compare(n, lost, won);
    const error = Math.sqrt((lost + won) / n - ((lost - won) / n) ** 2) / Math.sqrt(n);
    // 1.645 standard errors; 4000 resamples know this quantile to about 3 % of one.
    assert.ok(Math.abs((bound - drop) / error - 1.645) < 0.15, `${(bound - drop) / error}`);
    assert.ok(Math.abs(drop - 0.03) < 1e-12);
  });

  it('grows with the confidence, is the same for the same seed and about the same for another', () => {
    const bounds = [0.5, 0.9, 0.95, 0.99].map((confidence) => compare(200, 20, 10, confidence).bound);
    assert.deepEqual(bounds, bounds.toSorted());
    assert.ok(bounds[0] < bounds[3]);
    assert.equal(compare(200, 20, 10).bound, bounds[2]);
    assert.ok(Math.abs(compare(200, 20, 10, 0.95, 2).bound - bounds[2]) <= 1.01 / 201);
  });

  it('is never below the estimate, and below zero where the pruned model is surely better', () => {
    const better = compare(400, 0, 100);
    assert.ok(better.drop < better.bound && better.bound < 0);
  });

  it('holds the true loss as often as it says', () => {
    const random = randomStream(5, 'coverage');
    const [trials, n] = [150, 120];
    let held = 0;
    for (let trial = 0; trial < trials; trial++) {
      const draws = Array.from({ length: n }, () => random.uniform());
      // Of all examples 8 % are lost and 3 % won: a true loss of 0.05.
      const dense = draws.map((u) => Number(u > 0.03));
      const pruned = draws.map((u) => Number(!(u > 0.03 && u < 0.11)));
      held += Number(dropBound(share(dense, 1), share(pruned, 0), { confidence: 0.95, seed: trial }).bound >= 0.05);
    }
    // 95 % of 150 is 142.5 with a standard deviation of 2.7.
    assert.ok(held / trials >= 0.9, `${held} of ${trials}`);
  });
});
