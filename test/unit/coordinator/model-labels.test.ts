// Labels drawn from a model's output follow its distribution. Streams are seeded, so that nothing here is left to chance;
// the bounds are four standard deviations of what is counted.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TaskKind } from '../../../checkpoint/model-config.ts';
import { withDrawnTarget } from '../../../coordinator/job/model-labels.ts';
import { randomStream } from '../../../pruning/random.ts';
import { samplesOf } from '../dataset/samples.ts';

const DRAWS = 10_000;

function draw(task: TaskKind, logits: number[], outputs: number): Float32Array[] {
  const random = randomStream(3, 'labels');
  const [sample] = samplesOf([4]);
  return Array.from(
    { length: DRAWS },
    () => withDrawnTarget(task, sample, Float32Array.from(logits), outputs, random).target,
  );
}

function assertShare(hits: number, probability: number, name: string): void {
  const sigma = Math.sqrt(DRAWS * probability * (1 - probability));
  assert.ok(
    Math.abs(hits - DRAWS * probability) <= 4 * sigma,
    `${name}: got ${hits / DRAWS}, expected ${probability} ± ${(4 * sigma) / DRAWS}`,
  );
}

function softmax(logits: readonly number[]): number[] {
  const weights = logits.map((z) => Math.exp(z));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

test('single label: a class as often as the softmax says', () => {
  const logits = [0.5, -1, 2];
  const targets = draw('single-label-classification', logits, 3);
  assert.ok(targets.every((target) => target.length === 1));
  softmax(logits).forEach((probability, label) => {
    assertShare(targets.filter(([drawn]) => drawn === label).length, probability, `class ${label}`);
  });
});

test('single label: logits so large that their exponentials overflow', () => {
  const targets = draw('single-label-classification', [1e4, 1e4, -1e4], 3);
  assertShare(targets.filter(([drawn]) => drawn === 0).length, 0.5, 'class 0');
  assert.ok(targets.every(([drawn]) => drawn < 2));
});

test('several labels: each by itself, as often as its sigmoid says', () => {
  const logits = [-2, 0, 1.5];
  const targets = draw('multi-label-classification', logits, 3);
  logits.forEach((z, label) => {
    assertShare(targets.filter((target) => target[label] === 1).length, 1 / (1 + Math.exp(-z)), `label ${label}`);
  });
  assert.ok(targets.every((target) => target.length === 3 && target.every((value) => value === 0 || value === 1)));
  const both = targets.filter((target) => target[1] === 1 && target[2] === 1).length;
  assertShare(both, 0.5 / (1 + Math.exp(-1.5)), 'labels 1 and 2 together');
});

test('regression: the output plus noise of variance one half', () => {
  const errors = draw('regression', [2.5], 1).map(([value]) => value - 2.5);
  const mean = errors.reduce((sum, error) => sum + error, 0) / DRAWS;
  const variance = errors.reduce((sum, error) => sum + error ** 2, 0) / DRAWS;
  assert.ok(Math.abs(mean) <= 4 * Math.sqrt(0.5 / DRAWS), `mean ${mean}`);
  // The variance of a normal's squared deviation is twice its squared variance.
  assert.ok(Math.abs(variance - 0.5) <= 4 * Math.sqrt((2 * 0.5 ** 2) / DRAWS), `variance ${variance}`);
  const within = errors.filter((error) => Math.abs(error) < Math.SQRT1_2).length;
  assertShare(within, 0.682689, 'within one standard deviation');
});

test('token by token: the first and the last have no label, the others each their own', () => {
  const targets = draw('token-classification', [9, 9, 0, 1, 2, -1, 9, 9], 2);
  assert.ok(targets.every((target) => target.length === 4 && target[0] === -100 && target[3] === -100));
  assertShare(targets.filter((target) => target[1] === 1).length, softmax([0, 1])[1], 'token 1');
  assertShare(targets.filter((target) => target[2] === 1).length, softmax([2, -1])[1], 'token 2');
});

test('question answering: start and end each from its own column', () => {
  const starts = [0, 1, -1];
  const ends = [2, 0, 0.5];
  const targets = draw(
    'question-answering',
    starts.flatMap((start, t) => [start, ends[t]]),
    2,
  );
  [starts, ends].forEach((logits, side) => {
    softmax(logits).forEach((probability, token) => {
      assertShare(targets.filter((target) => target[side] === token).length, probability, `side ${side}, ${token}`);
    });
  });
});

test('the same stream draws the same; the sample is otherwise as it was', () => {
  const [sample] = samplesOf([4]);
  const one = () =>
    withDrawnTarget('single-label-classification', sample, Float32Array.of(1, 1), 2, randomStream(5, 'labels'));
  assert.deepEqual(one(), one());
  assert.equal(one().tokenIds, sample.tokenIds);
  assert.equal(one().typeIds, sample.typeIds);
});
