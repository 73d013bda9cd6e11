// Budgets of time as they are written and stored.
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  isLatencyBudget,
  latencyBudgetProblem,
  readLatencyBudgets,
} from '../../../coordinator/job/read-latency-budgets.ts';

test('what is written names the folder, and what is stored is checked again', () => {
  const { budgets: shares, problems } = readLatencyBudgets('latency', ['0.60', ' .5']);
  assert.deepEqual(problems, []);
  assert.deepEqual(shares, [
    { kind: 'latency', text: 'latency-0.60', value: 0.6 },
    { kind: 'latency', text: 'latency-0.5', value: 0.5 },
  ]);
  const { budgets: times } = readLatencyBudgets('latency-ms', ['12', '0.75']);
  assert.deepEqual(
    times.map(({ text }) => text),
    ['latency-12ms', 'latency-0.75ms'],
  );
  for (const budget of [...shares, ...times]) {
    assert.equal(latencyBudgetProblem(budget), null);
    assert.ok(isLatencyBudget(budget));
  }
  assert.ok(!isLatencyBudget({}) && !isLatencyBudget({ kind: 'max-drop' }));
  for (const budget of [
    { kind: 'latency', text: 'latency-0.6', value: 0.5 },
    { kind: 'latency', text: 'latency-0.6ms', value: 0.6 },
    { kind: 'latency', text: 'latency-2', value: 2 },
    { kind: 'latency-ms', text: 'latency-12', value: 12 },
    { kind: 'latency-ms', text: '../latency-12ms', value: 12 },
  ] as const)
    assert.match(latencyBudgetProblem(budget) ?? '', /^got .*, expected latency-/);
});
