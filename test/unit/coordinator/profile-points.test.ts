// From times of whole models to a table: exact at both ends, and told where times do not add up.
import assert from 'node:assert/strict';
import test from 'node:test';
import { neuronGrid, pointMasks, profilePoints, tableOf } from '../../../coordinator/job/profile-points.ts';
import { outliers, spreadOf } from '../../../coordinator/job/spread.ts';
import { keptCounts } from '../../../pruning/compact.ts';
import { denseSeconds, readLatencyTable } from '../../../pruning/latency-table.ts';

const SETUP = {
  ...{ runtime: 'engine 2.21.0', device: 'toy, 2 cores', threads: 1, batchSize: 8, tokens: 16 },
  model: { type: 'bert', layers: 2, hiddenSize: 32, heads: 4, headSize: 8, intermediateSize: 64, activation: 'gelu' },
};
type Point = { readonly heads: number; readonly neurons: number };

test('points: each count of heads, a grid of neurons, and neither; all layers alike', () => {
  assert.deepEqual(neuronGrid(64), [0, 8, 16, 24, 32, 40, 48, 56, 64]);
  assert.deepEqual(neuronGrid(20), [0, 8, 16, 20]);
  assert.deepEqual(neuronGrid(3072).slice(0, 3), [0, 192, 384]);
  assert.equal(neuronGrid(3072).length, 17);
  const points = profilePoints(SETUP.model);
  assert.deepEqual(points.slice(0, 3), [
    { heads: 0, neurons: 0 },
    { heads: 0, neurons: 64 },
    { heads: 1, neurons: 64 },
  ]);
  assert.equal(points.length, 1 + 4 + 8);
  const kept = keptCounts(pointMasks({ heads: 3, neurons: 16 }, SETUP.model));
  assert.deepEqual(
    [kept.headsByLayer, kept.neuronsByLayer],
    [
      [3, 3],
      [16, 16],
    ],
  );
});

test('times that add up come back', () => {
  const seconds = ({ heads, neurons }: Point) => 0.001 + 2 * (heads * 0.002 + neurons * 0.0001);
  const { table, raised, factor } = tableOf(SETUP, seconds);
  assert.equal(raised, 0);
  assert.ok(Math.abs(factor - 1) < 1e-9);
  assert.deepEqual(
    table.attentionSeconds.map((own) => Number(own.toFixed(9))),
    [0, 0.002, 0.004, 0.006, 0.008],
  );
  assert.deepEqual(
    table.ffnSeconds.map(({ neurons, seconds: own }) => [neurons, Number(own.toFixed(9))]),
    neuronGrid(64).map((neurons) => [neurons, Number((neurons * 0.0001).toFixed(9))]),
  );
  assert.equal(readLatencyTable(JSON.parse(JSON.stringify(table)), 'table').restSeconds, 0.001);
});

test('times that do not add up: exact for the dense model and for none; less than none counts as none', () => {
  // Together heads and neurons cost more than each beside nothing.
  const seconds = ({ heads, neurons }: Point) =>
    0.001 + heads * 0.002 + neurons * 0.0001 + (heads * neurons) / 1e5 - (heads === 1 ? 0.01 : 0);
  const { table, raised, factor } = tableOf(SETUP, seconds);
  assert.equal(raised, 1);
  assert.ok(factor < 1);
  assert.equal(table.attentionSeconds[1], 0);
  assert.ok(Math.abs(denseSeconds(table) - seconds({ heads: 4, neurons: 64 })) < 1e-12);
  assert.equal(table.restSeconds, seconds({ heads: 0, neurons: 0 }));
});

test('a dense model that is no slower than less of it gives no table', () => {
  assert.throws(() => tableOf(SETUP, ({ neurons }) => 0.01 + neurons * 1e-5), {
    code: 'latency_table',
    message: /^got 0\.01064 s for the dense model, 0\.01064 s without heads, 0\.01 s without neurons/,
  });
});

test('spread and outliers', () => {
  assert.deepEqual(spreadOf([5]), { median: 5, p10: 5, p90: 5 });
  assert.deepEqual(spreadOf([3, 1, 2, 5, 4, 6, 7, 8, 9, 10, 11]), { median: 6, p10: 2, p90: 10 });
  assert.equal(spreadOf([1, 2]).median, 1.5);
  assert.equal(outliers([10, 10.1, 9.9, 10.2, 9.8, 30]), 1);
  assert.equal(outliers([10, 10.1, 9.9, 10.2, 9.8]), 0);
});
