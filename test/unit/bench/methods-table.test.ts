// The table of methods: means and spreads, differences of the same seeds, goals, and only what all methods have run.
import assert from 'node:assert/strict';
import test from 'node:test';
import { type MethodRecord, methodsTable } from '../../bench/methods-table.ts';

function record(part: Partial<MethodRecord>): MethodRecord {
  return {
    ...{ model: 'mini-sst2', seed: 0, budget: 0.3, method: 'paper', samples: 2048, metric: 'accuracy' },
    ...{ dense: 0.8532, score: 0.8, macs: 0.2999, heads: [], neurons: [], divergence: null, seconds: 1, device: 'cpu' },
    ...part,
  };
}

function rowsOf(table: string): string[][] {
  return table
    .split('\n')
    .filter((line) => line.startsWith('| mini'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
}

test('a row tells of the seeds that every method has, and of their differences', () => {
  const records = [
    record({ seed: 0, score: 0.8 }),
    record({ seed: 1, score: 0.82 }),
    record({ seed: 2, score: 0.1 }),
    record({ seed: 0, method: 'gradual', score: 0.83, divergence: 0.01, macs: 0.2995 }),
    record({ seed: 1, method: 'gradual', score: 0.84, divergence: 0.03 }),
    record({ budget: 0.2 }),
  ];
  const rows = rowsOf(methodsTable(records, ['paper', 'gradual']));
  assert.equal(rows.length, 1);
  assert.deepEqual(rows[0].slice(1, -1), [
    ...['mini-sst2 (dense 85.32)', '0.3', '81.00 ± 1.41', '83.50 ± 0.71'],
    ...['+2.50 ± 0.71, 2 of 2', '83', '0.020', '0.2999'],
  ]);
});

test('a mean of gradual pruning below its goal is named and set in bold', () => {
  const records = [record({}), record({ method: 'gradual', score: 0.829 })];
  const table = methodsTable(records, ['paper', 'gradual']);
  assert.match(table, /Below their goal: mini-sst2 at 0\.3\./);
  assert.match(table, /\*\*82\.90 ± 0\.00\*\*/);
  assert.match(methodsTable(records, ['gradual', 'paper']), /Below their goal: none\./);
});
