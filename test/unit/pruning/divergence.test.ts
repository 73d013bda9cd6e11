import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sigmoidDivergence, softmaxDivergence, squaredDifference } from '../../../pruning/divergence.ts';

const near = (got: number, expected: number) => assert.ok(Math.abs(got - expected) < 1e-12, `${got} for ${expected}`);

test('softmax: sum of p log(p / q), 0 of equal distributions, finite where one is all but certain', () => {
  const p = [0.5, 0.3, 0.2];
  const q = [0.2, 0.2, 0.6];
  const direct = p.reduce((sum, own, at) => sum + own * Math.log(own / q[at]), 0);
  near(softmaxDivergence(p.map(Math.log), q.map(Math.log)), direct);
  // Logits that differ by a constant are the same distribution.
  near(
    softmaxDivergence(
      p.map((own) => Math.log(own) + 50),
      q.map((own) => Math.log(own) - 7),
    ),
    direct,
  );
  near(softmaxDivergence([1, 2, 3], [2, 3, 4]), 0);
  near(softmaxDivergence([1000, 0], [1000, 0]), 0);
  near(softmaxDivergence([1000, 0], [0, 1000]), 1000);
});

test('sigmoids: the sum over outputs of that of a coin', () => {
  const coin = (p: number, q: number) => p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  near(sigmoidDivergence([0.3, -2], [1, 0.5]), coin(sigmoid(0.3), sigmoid(1)) + coin(sigmoid(-2), sigmoid(0.5)));
});

test('squared difference: the mean over outputs', () => {
  near(squaredDifference([1, 2], [1.5, 4]), (0.25 + 4) / 2);
});
