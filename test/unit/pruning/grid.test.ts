import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathTo } from '../../../pruning/grid.ts';

test('a share of the grid is reached through all larger ones and is itself of the trunk', () => {
  assert.deepEqual(pathTo(0.8), { trunk: [0.8], branch: null });
  assert.deepEqual(pathTo(0.3), { trunk: [0.8, 0.65, 0.5, 0.4, 0.35, 0.3], branch: null });
  assert.deepEqual(pathTo(0.2), { trunk: [0.8, 0.65, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2], branch: null });
});

test('below 0.2 each share of the grid is 0.8 of the one before, as a user writes it', () => {
  for (const [share, steps] of [
    [0.16, 9],
    [0.128, 10],
    [0.1024, 11],
    [0.08192, 12],
  ] as const) {
    const { trunk, branch } = pathTo(share);
    assert.deepEqual([trunk.length, trunk.at(-1), branch], [steps, share, null]);
  }
  const { trunk } = pathTo(1e-3);
  for (const [at, share] of trunk.entries())
    if (at >= 8) assert.ok(Math.abs(share / trunk[at - 1] - 0.8) < 1e-9, `${share}`);
});

test('another share is a branch from the last of the grid above it, however near that is', () => {
  assert.deepEqual(pathTo(0.9), { trunk: [], branch: 0.9 });
  assert.deepEqual(pathTo(1), { trunk: [], branch: 1 });
  assert.deepEqual(pathTo(0.6), { trunk: [0.8, 0.65], branch: 0.6 });
  assert.deepEqual(pathTo(0.4999), { trunk: [0.8, 0.65, 0.5], branch: 0.4999 });
  assert.deepEqual(pathTo(0.5001), { trunk: [0.8, 0.65], branch: 0.5001 });
  assert.deepEqual(pathTo(0.15).trunk.at(-1), 0.16);
});

test('the path to a share starts with the path to every larger share of the grid', () => {
  for (const share of [0.8, 0.73, 0.5, 0.45, 0.31, 0.3, 0.2, 0.11, 0.02]) {
    const { trunk } = pathTo(share);
    for (const [at, above] of trunk.entries()) assert.deepEqual(pathTo(above).trunk, trunk.slice(0, at + 1));
  }
});

test('one step: every share is a branch from the dense model', () => {
  for (const share of [0.8, 0.5, 0.45, 0.01]) assert.deepEqual(pathTo(share, 'one'), { trunk: [], branch: share });
});

test('what is no share is refused', () => {
  for (const kind of ['grid', 'one'] as const)
    for (const share of [0, 1.5, -0.1, Number.NaN])
      assert.throws(() => pathTo(share, kind), { name: 'RangeError', message: /expected more than 0 and at most 1$/ });
});
