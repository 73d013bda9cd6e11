// Budgets of time by a made-up table: what is found takes no longer than the table allows, and what cannot be is refused.
import assert from 'node:assert/strict';
import test from 'node:test';
import { goalShare, latencyMultiple, latencySearch } from '../../../coordinator/job/latency-goal.ts';
import { keptCounts } from '../../../pruning/compact.ts';
import type { LatencyTable } from '../../../pruning/latency-table.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';

const CONFIG = { layers: 3, heads: 4, intermediateSize: 64 };
// 1 ms of rest; of a layer 4 ms of attention, 3 ms of which come with the first head, and 8 ms of FFN: 37 ms.
const TABLE: LatencyTable = {
  schema: 1,
  ...{ runtime: 'onnxruntime 1.30.0', device: 'toy, 2 cores', threads: 2, batchSize: 8, tokens: 16 },
  model: { type: 'bert', ...CONFIG, hiddenSize: 32, headSize: 8, activation: 'gelu' },
  attentionSeconds: [0, 3, 3.4, 3.6, 4].map((ms) => ms / 1000),
  ffnSeconds: [
    { neurons: 0, seconds: 0 },
    { neurons: 32, seconds: 0.004 },
    { neurons: 64, seconds: 0.008 },
  ],
  restSeconds: 0.001,
};
const KNAPSACK = { search: 'paper', neuronMultiple: 1 } as const;
const random = randomStream(5, 'importance');
const values = (count: number) => new Float64Array(count).map(() => random.uniform());
const IMPORTANCE = { heads: values(12), neurons: values(192) };

test('masks of a share take no longer than it by the table, and nearly as long', () => {
  const search = latencySearch(TABLE, CONFIG, KNAPSACK);
  assert.ok(Math.abs(search.denseSeconds - 0.037) < 1e-12);
  assert.equal(search.shareOf(denseMasks(3, 4, 64)), 1);
  for (const share of [0.1, 0.33, 0.5, 0.6, 0.8, 0.95]) {
    const masks = search.masks(share, IMPORTANCE);
    const taken = search.shareOf(masks);
    // The smallest step of this table is 0.2 ms, of 8 neurons 1 ms.
    assert.ok(taken <= share + 1e-12 && taken > share - 0.03, `${taken} for ${share}`);
    assert.ok(keptCounts(masks).neuronsByLayer.every((count) => count % 8 === 0));
  }
  const all = keptCounts(search.masks(1, IMPORTANCE));
  assert.deepEqual(
    [all.headsByLayer, all.neuronsByLayer],
    [
      [4, 4, 4],
      [64, 64, 64],
    ],
  );
});

test('the smallest share keeps nothing and can be asked for', () => {
  const search = latencySearch(TABLE, CONFIG, KNAPSACK);
  assert.ok(Math.abs(search.leastShare - 1 / 37) < 1e-12);
  const none = keptCounts(search.masks(search.leastShare, IMPORTANCE));
  assert.deepEqual([none.heads, none.neurons], [0, 0]);
});

test('budgets become shares; what no masks take is refused with the nearest that some do', () => {
  const search = latencySearch(TABLE, CONFIG, KNAPSACK);
  const share = { kind: 'latency', text: 'latency-0.6', value: 0.6 } as const;
  assert.equal(goalShare(share, search), 0.6);
  const ms = (value: number) => ({ kind: 'latency-ms', text: `latency-${value}ms`, value }) as const;
  assert.ok(Math.abs(goalShare(ms(18.5), search) - 0.5) < 1e-12);
  const refused = (budget: Parameters<typeof goalShare>[0], message: RegExp) =>
    assert.throws(() => goalShare(budget, search), { code: 'budget_out_of_range', message });
  refused(ms(40), /^latency-40ms: expected less than 37\.0 ms, the time of the dense model$/);
  refused(ms(0.5), /^latency-0\.5ms: expected at least 1\.00 ms, which the smallest model takes$/);
  refused({ ...share, text: 'latency-0.02', value: 0.02 }, /^latency-0\.02: expected at least 0\.0270, which/);
});

test('uniform layers keep to the table, too', () => {
  const search = latencySearch(TABLE, CONFIG, { search: 'uniform', neuronMultiple: 16 });
  // All heads, and at least 16 neurons a layer.
  assert.ok(Math.abs(search.leastShare - 19 / 37) < 1e-12);
  const kept = keptCounts(search.masks(0.7, IMPORTANCE));
  assert.deepEqual(kept.headsByLayer, [4, 4, 4]);
  assert.deepEqual(kept.neuronsByLayer, [32, 32, 32]);
});

test('multiples of neurons: those asked for, else what suits the width', () => {
  assert.equal(latencyMultiple({ intermediateSize: 3072 }, 1), 32);
  assert.equal(latencyMultiple({ intermediateSize: 64 }, 1), 8);
  assert.equal(latencyMultiple({ intermediateSize: 64 }, 16), 16);
});
