// When a sub-layer of tuning is worth several workers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FoldCost, TuningSpread } from '../../../coordinator/workers/tuning-spread.ts';

const model = { configJson: JSON.stringify({ hidden_size: 768 }), weights: [] };
const fisher = { fisher: { model, shards: { first: 0, end: 1 } } };
const inPlace = { solve: { model, layer: 1, subLayer: 'ffn', fit: { shards: { first: 0, end: 4 } } } };
/** Two nodes each of so many workers: those of the last stay with it. */
const sums = (workers: number) =>
  Array.from({ length: 2 * workers }, (_, node) => ({
    request: {
      normalEquations: { model, layer: 2, subLayer: 'ffn', shards: { first: 0, end: 1 }, stays: node < 2 },
    },
    affinity: `${Math.floor(node / 2)}`,
  }));
const solve = { solve: { model, layer: 2, subLayer: 'ffn', fit: { sums: { digest: 'a', sizeBytes: 1 } } } };

function spread(cost = new FoldCost()): TuningSpread {
  const made = new TuningSpread(cost);
  made.began([{ request: fisher }], 0);
  return made;
}

test('a short sub-layer stays on one worker, a long one takes more, never more than there are', () => {
  const made = spread();
  made.done(inPlace, 40, 0);
  assert.equal(made.workers(64), 1);
  const long = spread();
  long.done(inPlace, 8_000, 0);
  const many = long.workers(64);
  assert.ok(many > 4 && many < 64, `${many}`);
  assert.equal(long.workers(3), 3);
  assert.equal(long.workers(0), 1);
});

test('an answer that this coordinator read late is no long sub-layer; one of another kind may be longer', () => {
  const made = spread();
  made.done(inPlace, 40, 0);
  made.done(inPlace, 8_000, 0);
  assert.equal(made.workers(64), 1);
  made.done({ solve: { ...inPlace.solve, subLayer: 'attention' } }, 8_000, 0);
  assert.ok(made.workers(64) > 4);
});

test('before the first sub-layer, what Fisher took says how long it will be', () => {
  const made = spread();
  assert.equal(made.workers(8), 1);
  for (let shard = 0; shard < 20; shard += 1) made.done(fisher, 10_000, 0);
  assert.ok(made.workers(8) > 1);
});

test('a model whose width is not known is spread over all', () => {
  assert.equal(new TuningSpread(new FoldCost()).workers(5), 5);
});

test('folding that turns out slow, for whichever job, keeps the next sub-layers together', () => {
  const cost = new FoldCost();
  const made = spread(cost);
  made.done(inPlace, 2_000, 0);
  const before = made.workers(16);
  assert.ok(before > 1);
  made.began(sums(4), 0);
  for (const { request } of sums(4)) made.done(request, 250, 0);
  // 500 ms of computing each, and half a minute until the solve could begin.
  made.began([{ request: solve }], 600);
  made.done(solve, 10, 30_010);
  assert.equal(made.workers(16), 1);
  const other = spread(cost);
  other.done(inPlace, 2_000, 0);
  assert.equal(other.workers(16), 1);
});

test('folding that turns out fast allows more', () => {
  const cost = new FoldCost();
  const made = spread(cost);
  made.done(inPlace, 2_000, 0);
  const before = made.workers(64);
  for (let step = 0; step < 10; step += 1) {
    made.began(sums(4), 0);
    for (const { request } of sums(4)) made.done(request, 250, 0);
    made.done(solve, 0, 520);
  }
  assert.ok(made.workers(64) > before);
});

test('a refit is spread as tuning is, by its own sums, and by the newest pass of gradients before the first', () => {
  const gradients = { gradients: { model, shards: { first: 0, end: 1 } } };
  const made = new TuningSpread(new FoldCost());
  const pass = (ms: number) => {
    made.began([{ request: gradients }], 0);
    for (let shard = 0; shard < 20; shard += 1) made.done(gradients, ms, 0);
  };
  pass(10_000);
  const slow = made.workers(64);
  pass(100);
  const quick = made.workers(64);
  assert.ok(slow > 1 && quick < slow, `${quick} and ${slow}`);
  const refit = { refit: { model, layer: 1, subLayer: 'ffn', fit: { shards: { first: 0, end: 4 } } } };
  made.done(refit, 8_000, 0);
  const many = made.workers(64);
  assert.ok(many > quick && many < 64, `${many}`);
  const scales = spread();
  scales.done(inPlace, 8_000, 0);
  assert.ok(many < scales.workers(64), 'sums of a refit are larger');
  // Folding that takes no time beside its share of computing.
  const refitEquations = { model, layer: 2, subLayer: 'ffn', shards: { first: 0, end: 1 } };
  const folded = { refit: { model, layer: 2, subLayer: 'ffn', fit: { sums: { digest: 'a', sizeBytes: 1 } } } };
  for (let step = 0; step < 10; step += 1) {
    made.began(
      Array.from({ length: 8 }, (_, node) => ({ request: { refitEquations }, affinity: `${node % 4}` })),
      0,
    );
    made.done(folded, 0, 2_000);
  }
  assert.ok(made.workers(64) > many);
});

test('what one worker solves from sums is not shared: where it is most of a sub-layer, that stays on one', () => {
  const made = spread();
  made.done(inPlace, 2_000, 0);
  const before = made.workers(16);
  assert.ok(before > 1);
  made.done({ solve: { ...solve.solve, layer: 3 } }, 1_970, 0);
  assert.equal(made.workers(16), 1);
});

test('a sub-layer of a model with few layers is a larger part of what its gradients took', () => {
  const spreadOf = (layers: number) => {
    const configJson = JSON.stringify({ hidden_size: 768, num_hidden_layers: layers });
    const task = { fisher: { model: { configJson, weights: [] }, shards: { first: 0, end: 1 } } };
    const made = new TuningSpread(new FoldCost());
    made.began([{ request: task }], 0);
    for (let shard = 0; shard < 20; shard += 1) made.done(task, 3_000, 0);
    return made.workers(64);
  };
  assert.ok(spreadOf(2) > spreadOf(24), `${spreadOf(2)} and ${spreadOf(24)}`);
});
