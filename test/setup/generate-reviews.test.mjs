import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateReviews } from '../../examples/generate-reviews.mjs';

test('the same seed gives the same sentences, another seed others', () => {
  const first = generateReviews({ count: 500, seed: 1 });
  assert.deepEqual(generateReviews({ count: 500, seed: 1 }), first);
  assert.deepEqual(generateReviews({ count: 100, seed: 1 }), first.slice(0, 100));
  assert.notDeepEqual(generateReviews({ count: 500, seed: 2 }), first);
});

test('the sentences of the demo all differ, are balanced, and vary in length', () => {
  const reviews = generateReviews({ count: 5096, seed: 1 });
  assert.equal(new Set(reviews.map((review) => review.sentence)).size, 5096);
  const positiveShare = reviews.filter((review) => review.label === 1).length / reviews.length;
  assert.ok(Math.abs(positiveShare - 0.5) < 0.03, `${positiveShare} are positive`); // four standard deviations are 0.028
  const lengths = reviews.map((review) => review.sentence.split(' ').length);
  assert.equal(Math.min(...lengths), 3);
  assert.ok(Math.max(...lengths) > 30 && Math.max(...lengths) <= 40);
  for (const { sentence } of reviews) assert.match(sentence, /^[a-z,.' -]+$/);
});
