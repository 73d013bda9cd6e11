import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptCounts } from '../../../pruning/compact.ts';
import { knapsackMasks, leastCost } from '../../../pruning/knapsack.ts';
import {
  denseSeconds,
  type LatencyTable,
  latencyCosts,
  readLatencyTable,
  requireTableFor,
} from '../../../pruning/latency-table.ts';

const TABLE: LatencyTable = {
  schema: 1,
  runtime: 'onnxruntime 1.30.0',
  device: 'cpu of a test',
  threads: 1,
  batchSize: 8,
  tokens: 32,
  model: {
    type: 'bert',
    layers: 2,
    hiddenSize: 24,
    heads: 3,
    headSize: 8,
    intermediateSize: 40,
    activation: 'gelu',
  },
  attentionSeconds: [0.5, 1, 1.75, 2],
  ffnSeconds: [
    { neurons: 0, seconds: 0.25 },
    { neurons: 8, seconds: 1.25 },
    { neurons: 40, seconds: 3.25 },
  ],
  restSeconds: 0.125,
};

test('a table survives JSON; costs are its entries, linear between the counts that were measured', () => {
  const table = readLatencyTable(JSON.parse(JSON.stringify(TABLE)), 'table.json');
  assert.deepEqual(table, TABLE);
  const { attention, ffn, total } = latencyCosts(table);
  assert.deepEqual([...attention], [0.5, 1, 1.75, 2]);
  assert.equal(ffn.length, 41);
  assert.deepEqual([ffn[0], ffn[4], ffn[8], ffn[24], ffn[40]], [0.25, 0.75, 1.25, 2.25, 3.25]);
  assert.equal(total, undefined, 'entries are added up');
  assert.equal(denseSeconds(table), 2 * (2 + 3.25) + 0.125);
});

test('a search under a table: never over it, nothing kept at the least, everything at the dense time', () => {
  const problem = {
    importance: { heads: new Float64Array(6).fill(1), neurons: new Float64Array(80).fill(0.1) },
    layers: 2,
    heads: 3,
    neurons: 40,
    costs: latencyCosts(TABLE),
    neuronMultiple: 8,
  };
  assert.equal(leastCost(problem), 1.5);
  const kept = (budget: number) => {
    const { heads, neurons } = keptCounts(knapsackMasks({ ...problem, budget }));
    return { heads, neurons };
  };
  assert.deepEqual(kept(1.5), { heads: 0, neurons: 0 });
  assert.deepEqual(kept(denseSeconds(TABLE) - TABLE.restSeconds), { heads: 6, neurons: 80 });
});

test('every field is checked, and all that is wrong is told at once', () => {
  const refused = (change: object, ...expected: string[]) =>
    assert.throws(
      () => readLatencyTable({ ...structuredClone(TABLE), ...change }, 'table.json'),
      (error: { code: string; message: string }) => {
        assert.equal(error.code, 'latency_table');
        for (const text of expected) assert.ok(error.message.includes(text), error.message);
        return true;
      },
    );
  for (const value of [null, [], 'text', 3])
    assert.throws(() => readLatencyTable(value, 'table.json'), {
      code: 'latency_table',
      message: 'table.json: got no object, expected one',
    });
  refused({ schema: 2 }, 'table.json: schema: got 2, expected 1');
  refused({ runtime: '', device: 3 }, 'runtime: got "", expected a text', 'device: got 3, expected a text');
  refused({ threads: 0, batchSize: 1.5, tokens: '8' }, 'threads: got 0', 'batchSize: got 1.5', 'tokens: got "8"');
  refused({ restSeconds: -1 }, 'restSeconds: got -1, expected a number >= 0');
  refused({ model: undefined }, 'model.type: got nothing', 'model.layers: got nothing');
  for (const field of ['layers', 'hiddenSize', 'heads', 'headSize', 'intermediateSize', 'type', 'activation'])
    refused({ model: { ...TABLE.model, [field]: null } }, `model.${field}: got null`);
  refused({ attentionSeconds: [1, 2, 3] }, 'attentionSeconds: got [1,2,3], expected 4 numbers >= 0, of 0 to 3 heads');
  refused({ attentionSeconds: [1, 2, 3, null] }, 'attentionSeconds: got [1,2,3,null]');
  const entries = (...neurons: number[]) => ({ ffnSeconds: neurons.map((count) => ({ neurons: count, seconds: 1 })) });
  const expected = 'expected {neurons, seconds} with rising neurons from 0 to 40';
  for (const wrong of [entries(0), entries(0, 8), entries(8, 40), entries(0, 16, 8, 40), entries(0, 8, 8, 40)])
    refused(wrong, 'ffnSeconds: got [', expected);
  refused({ ffnSeconds: [{ neurons: 0, seconds: 'x' }] }, expected);
  refused({ ffnSeconds: undefined }, 'ffnSeconds: got nothing');
});

test('a table of another shape, machine or model is refused, naming both', () => {
  requireTableFor(TABLE, structuredClone(TABLE), 'table.json');
  const refused = (change: object, message: string) =>
    assert.throws(() => requireTableFor(TABLE, { ...TABLE, ...change }, 'table.json'), {
      code: 'latency_table',
      message,
    });
  refused(
    { device: 'another', tokens: 64 },
    'table.json: device: got cpu of a test, expected another; tokens: got 32, expected 64',
  );
  refused({ runtime: 'engine' }, 'table.json: runtime: got onnxruntime 1.30.0, expected engine');
  refused({ threads: 2, batchSize: 1 }, 'table.json: threads: got 1, expected 2; batchSize: got 8, expected 1');
  refused({ model: { ...TABLE.model, heads: 4 } }, 'table.json: model.heads: got 3, expected 4');
});
