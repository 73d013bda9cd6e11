// How growth is judged: exponents, and what counts as too fast.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Curve, type CurvePoint, faultsOf, growthOf, medianPoint } from '../../bench/growth/figures.ts';

const SIZES = [256, 512, 1024, 2048, 4096, 8192, 16384];
const point = (x: number, cost: number): CurvePoint => ({
  ...{ x, seconds: { all: cost }, cpuSeconds: { coordinator: 1, workers: cost } },
  ...{ coordinatorPeakBytes: 1e8, bytes: null },
});
const curve = (axis: Curve['axis'], cost: (x: number) => number): Curve => ({
  axis,
  points: SIZES.map((x) => point(x, cost(x))),
});
const workersOf = ({ cpuSeconds }: CurvePoint) => cpuSeconds.workers;

test('exponents of powers are theirs, with a constant beside them or not', () => {
  for (const power of [0.5, 1, 1.5, 2]) {
    const growth = growthOf(curve('samples', (x) => x ** power).points, workersOf)!;
    assert.ok(Math.abs(growth.whole - power) < 1e-9);
  }
  const { whole, above } = growthOf(curve('samples', (x) => 2000 + x).points, workersOf)!;
  assert.ok(whole < 0.6 && Math.abs(above! - 1) < 1e-9, `${whole} ${above}`);
  assert.equal(growthOf(curve('samples', () => 3).points, workersOf)!.above, null, 'nothing above the first');
  assert.equal(growthOf([point(1, 1)], workersOf), null, 'one point');
});

test('linear growth passes, a square that hides behind a constant does not', () => {
  assert.deepEqual(faultsOf(curve('samples', (x) => 2 + x / 1000)), []);
  assert.deepEqual(faultsOf(curve('samples', (x) => 2 + x * Math.log2(x) * 1e-4)), [], 'sorting');
  const found = faultsOf(curve('samples', (x) => 2 + x / 1000 + (x / 4000) ** 2));
  assert.deepEqual(
    found.map((text) => text.slice(0, text.indexOf(':'))),
    ['CPU time of the workers over samples', 'wall time of the whole job over samples'],
  );
  assert.match(found[0], /got exponents 0\.\d\d and 1\.\d\d, expected at most 1\.15$/);
  assert.deepEqual(faultsOf(curve('tokens', (x) => x ** 2)), [], 'attention is quadratic in tokens');
});

test('of several runs the median by processor time counts', () => {
  const runs = [5, 1, 3].map((cost) => point(7, cost));
  assert.equal(medianPoint(runs), runs[2]);
  assert.equal(medianPoint(runs.slice(0, 1)), runs[0]);
});
