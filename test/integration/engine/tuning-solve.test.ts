// Sums and solves of a sub-layer on the device against plain JavaScript: systems from float32 products, folds, transfers,
// Cholesky factors, both kinds of damping, whatever the condition, and what has no solution.
//
// Tolerances. A solution of a system with condition number κ is right to about κ · 1e-16 whoever computes it, so two of them
// agree to 1e-9 at the κ of up to 1e7 that is met here (3e-10 was seen). Two unknowns have but the eigenvalues 1e7 and 1e-4: there
// all of the solution is in the rounding of M. The plain solve of the published system is off by 2e-9 to 1e-7 as well, two solves
// agree only where they round alike, and refinement in float64 ends where it began: its residual rounds as M·r does. So that
// system's solution is held to the exact one, within what a few roundings of M's diagonal do to it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { DEFAULT_TUNING_SETTINGS, solveScales, type TuningSettings } from '../../../pruning/tuning.ts';
import { cholesky } from '../../../worker/engine/cholesky.ts';
import { deviceAlgebra } from '../../../worker/tuning/device-algebra.ts';
import { type DeviceSums, foldShards, releaseSums, sumPositions } from '../../../worker/tuning/device-sums.ts';
import { type DeviceSystem, makeSystems } from '../../../worker/tuning/device-system.ts';
import { makeProjection, type Projection } from '../../../worker/tuning/output-projection.ts';
import { downloadSums, uploadSums } from '../../../worker/tuning/sums-transfer.ts';
import { testContext } from '../../support/engine.ts';
import { solveExactly } from '../../support/exact-solve.ts';
import { type LeastSquaresProblem, makeProblem, sumsOf } from '../../support/least-squares.ts';
import { matrixWith } from '../../support/matrix-with.ts';
import { cholesky as plainCholesky, timesTranspose } from '../../support/plain-linear-algebra.ts';
import { plainAlgebra, residualOf, residualRight } from '../../support/plain-solve.ts';
import { outputProjection, type ScaleSystem, scaleSystem } from '../../support/plain-system.ts';
import { assertWithin, largestGap } from './results.ts';

const { engine, forward, ops } = testContext();
const random = randomStream(3, 'tuning-solve');
/** Systems from float32 products of up to 700 terms. */
const FLOAT32 = 2e-6;
/** Float64 sums of up to a few hundred terms, condition numbers of a few hundred. */
const FLOAT64 = 1e-12;
const SOLUTIONS = 1e-9;
/** Of M's diagonal: where I is added, and in the factor. */
const ROUNDINGS = 2;
/** Unknowns of a system all of whose solution is in the rounding of M. */
const FEW = 2;

const draw = (count: number) => new Float64Array(count).map(() => random.uniform() * 2 - 1);
const upload = (values: Float64Array, shape: number[]) => engine.upload(Float32Array.from(values), shape);

interface Form {
  readonly blockSize: number;
  readonly withOffset: boolean;
}

function deviceProjection({ weight, features, hiddenSize }: LeastSquaresProblem, form: Form): Projection {
  return makeProjection(ops, upload(weight, [features, hiddenSize]), form);
}

function sumsOnDevice({ x, r, features, hiddenSize }: LeastSquaresProblem, projection: Projection) {
  const positions = r.length / hiddenSize;
  const rows = { x: upload(x, [positions, features]), r: upload(r, [positions, hiddenSize]) };
  return sumPositions(forward, rows, projection);
}

const makeSystem = (sums: DeviceSums, projection: Projection) => makeSystems(forward, [sums], projection)[0];

function plainSystem({ x, r, weight, features, hiddenSize }: LeastSquaresProblem, form: Form): ScaleSystem {
  const projection = outputProjection(weight, { features, hiddenSize, blockSize: form.blockSize });
  return scaleSystem(sumsOf(x, r, features, hiddenSize), projection, form.withOffset);
}

/** A problem whose numbers float32 holds. */
function rounded(features: number, hiddenSize: number, positions: number): LeastSquaresProblem {
  const problem = makeProblem(random, features, hiddenSize, positions);
  const round = (values: Float64Array) => values.map(Math.fround);
  return { ...problem, x: round(problem.x), r: round(problem.r), weight: round(problem.weight) };
}

/** Runs, and nothing stays on the device but constants. */
function leavingNothing<T>(body: () => T): T {
  const before = engine.tensorCount;
  const result = engine.scope(body);
  assert.ok(engine.tensorCount - before <= 64, 'only constants stay');
  return result;
}

for (const [features, form] of [
  [1, { blockSize: 1, withOffset: false }],
  [7, { blockSize: 1, withOffset: false }],
  [96, { blockSize: 1, withOffset: false }],
  [97, { blockSize: 1, withOffset: true }],
  [300, { blockSize: 1, withOffset: false }],
  [4, { blockSize: 4, withOffset: true }],
  [120, { blockSize: 8, withOffset: true }],
  [120, { blockSize: 8, withOffset: false }],
] as const)
  test(`${features} features, ${JSON.stringify(form)}: the system is that of plain JavaScript, there and back`, () =>
    leavingNothing(() => {
      const problem = rounded(features, 9, 150);
      const projection = deviceProjection(problem, form);
      const sums = sumsOnDevice(problem, projection);
      const expected = plainSystem(problem, form);
      const check = (system: DeviceSystem, what: string) => {
        assertWithin(largestGap(engine.downloadFloat64(system.matrix), expected.matrix), FLOAT32, `${what} matrix`);
        assertWithin(largestGap(system.right, expected.right), FLOAT32, `${what} right side`);
        assertWithin(largestGap([system.targetSquares], [expected.targetSquares]), FLOAT32, `${what} squares`);
        assert.deepEqual([system.size, system.coordinates], [expected.size, expected.coordinates]);
        const before = residualOf(expected, new Float64Array(expected.scales).fill(1));
        assertWithin(largestGap([deviceAlgebra(forward).residualAtOne(system)], [before]), FLOAT32, `${what} residual`);
        return engine.downloadFloat64(system.matrix);
      };
      const own = check(makeSystem(sums, projection), 'made here');
      const sent = downloadSums(ops, sums, projection);
      assert.deepEqual(check(makeSystem(uploadSums(ops, sent, projection), projection), 'sent'), own);
      const isTable = form.blockSize > 1 || form.withOffset;
      assert.ok(sent.matrix.length < features ** 2 || features <= 96 || isTable, 'half of it, about');
    }));

test('sums of another sub-layer are refused', () =>
  leavingNothing(() => {
    const form = { blockSize: 1, withOffset: false };
    const [a, b] = [rounded(5, 3, 10), rounded(6, 3, 10)];
    const other = deviceProjection(b, form);
    const sums = downloadSums(ops, sumsOnDevice(a, deviceProjection(a, form)), deviceProjection(a, form));
    assert.throws(() => uploadSums(ops, sums, other), {
      code: 'shape_mismatch',
      message: 'sub-layer sums: got 5 scales, 25 elements, expected 6, 36',
    });
    const broken = { ...sums, right: sums.right.with(2, Number.POSITIVE_INFINITY) };
    const projection = deviceProjection(a, form);
    assert.throws(() => makeSystem(uploadSums(ops, broken, projection), projection), {
      code: 'not_finite',
      message: /right side 2: got Infinity/,
    });
  }));

test('shards are folded in the tree’s order, and what was made is released when a shard fails', () => {
  const problem = rounded(12, 4, 30);
  const form = { blockSize: 1, withOffset: false };
  const before = engine.tensorCount;
  engine.scope(() => {
    const projection = deviceProjection(problem, form);
    const inside = engine.tensorCount;
    const leaf = () => engine.scope(() => sumsOnDevice(problem, projection));
    const one = downloadSums(ops, leaf(), projection);
    const sums = foldShards(forward, { first: 3, end: 8 }, leaf);
    const folded = downloadSums(ops, sums, projection);
    releaseSums(engine, sums);
    // ((1 + 1) + (1 + 1)) + 1
    assert.deepEqual(
      folded.matrix,
      one.matrix.map((value) => value + value + (value + value) + value),
    );
    assert.equal(folded.positions, 150);
    const kept = engine.tensorCount;
    assert.throws(
      () =>
        foldShards(forward, { first: 0, end: 8 }, (shard) => {
          if (shard === 5) throw new Error('lost');
          return leaf();
        }),
      /lost/,
    );
    assert.equal(engine.tensorCount, kept);
    assert.ok(kept - inside <= 32);
  });
  assert.ok(engine.tensorCount - before <= 32, 'only constants stay');
});

/** The same system for both. */
function systemPair(
  matrix: Float64Array,
  size: number,
  withOffset: boolean,
): { own: DeviceSystem; plain: ScaleSystem } {
  const scales = size - (withOffset ? 1 : 0);
  const right = draw(size).map((value) => value * 1e3);
  const terms = { scales, size, right, targetSquares: 1e9, coordinates: 1e4, positions: 100 };
  const ones = new Float64Array(size).fill(1);
  const rowSums = timesTranspose(matrix, size, ones, 1, size);
  const residual = right.map((value, i) => value - rowSums[i]);
  const atOne = rowSums.map((sum, i) => (withOffset ? sum - matrix[i * size + scales] : sum));
  const own = {
    ...{ ...terms, atOne },
    diagonal: ones.map((_, i) => matrix[i * (size + 1)]),
    offset: withOffset ? ones.map((_, i) => matrix[i * size + scales]) : null,
    matrix: engine.uploadFloat64(matrix, [size, size]),
    residual: engine.uploadFloat64(residual, [size, 1]),
  };
  return { own, plain: { ...terms, matrix } };
}

/** The exact solution of the published system, and how far off a solve in float64 may be: as far as rounding moves it, where that
 * is more than SOLUTIONS. */
function exactReference(fit: ScaleSystem, judge: ScaleSystem) {
  const { matrix, size } = fit;
  const residual = residualRight(fit);
  const solved = (of: Float64Array) => {
    const x = solveExactly(of, size, residual);
    const s = x.map((value) => value + 1);
    return { x, heldOut: residualOf(judge, s) };
  };
  const found = solved(matrix);
  const moved = solved(matrix.map((value, at) => (at % (size + 1) === 0 ? value * (1 + Number.EPSILON) : value)));
  const tolerance = {
    x: Math.max(SOLUTIONS, ROUNDINGS * largestGap(moved.x, found.x)),
    heldOut: Math.max(SOLUTIONS, ROUNDINGS * largestGap([moved.heldOut], [found.heldOut])),
  };
  return { ...found, tolerance };
}

const RUNGS = [
  { kind: 'reference' },
  ...DEFAULT_TUNING_SETTINGS.ridgeLambdas.map((lambda) => ({ kind: 'ridge', lambda })),
];

for (const [size, withOffset] of [
  [1, false],
  [2, true],
  [17, false],
  [64, true],
  [130, false],
  [300, true],
] as const)
  test(`${size} unknowns, offset ${withOffset}, eigenvalues from 1e-4 to 1e7: solutions and residuals of every rung`, (t) =>
    leavingNothing(() => {
      const eigenvalues = new Float64Array(size).map((_, i) => 10 ** (7 - (11 * i) / Math.max(1, size - 1)));
      const fit = systemPair(matrixWith(eigenvalues, random), size, withOffset);
      const judge = systemPair(matrixWith(eigenvalues, random), size, withOffset);
      const published = size <= FEW ? exactReference(fit.plain, judge.plain) : null;
      let worst = 0;
      for (const invert of [false, true]) {
        const algebra = deviceAlgebra(forward, { invert });
        for (const damping of RUNGS as Parameters<typeof algebra.solve>[1][]) {
          const own = algebra.solve(fit.own, damping, judge.own)!;
          const exact = damping.kind === 'reference' ? published : null;
          const plain = exact ?? plainAlgebra.solve(fit.plain, damping, judge.plain)!;
          const what = `${JSON.stringify(damping)}, ${invert}`;
          worst = Math.max(worst, largestGap(own.x, plain.x));
          assertWithin(largestGap(own.x, plain.x), exact?.tolerance.x ?? SOLUTIONS, what);
          const gap = largestGap([own.heldOut!], [plain.heldOut!]);
          assertWithin(gap, exact?.tolerance.heldOut ?? SOLUTIONS, `${what}: residual`);
          assert.equal(algebra.solve(fit.own, damping, null)!.heldOut, null);
        }
      }
      t.diagnostic(`largest difference ${worst.toExponential(1)}`);
      const all = deviceAlgebra(forward).add(fit.own, judge.own);
      const plainAll = plainAlgebra.add(fit.plain, judge.plain);
      const solved = deviceAlgebra(forward).solve(all, { kind: 'ridge', lambda: 1e-2 }, fit.own)!;
      const expected = plainAlgebra.solve(plainAll, { kind: 'ridge', lambda: 1e-2 }, fit.plain)!;
      assertWithin(largestGap(solved.x, expected.x), SOLUTIONS, 'together');
      assertWithin(largestGap([solved.heldOut!], [expected.heldOut!]), SOLUTIONS, 'together: residual');
    }));

test('the ladder ends at the same rung with the same scales as on plain JavaScript', () => {
  for (const [features, blockSize, withOffset] of [
    [1, 1, false],
    [24, 1, false],
    [24, 8, true],
    [8, 8, true],
  ] as const)
    for (const damping of ['reference', 'ridge'] as const)
      for (const choice of ['first', 'best'] as const)
        for (const refitOnAll of [false, true])
          for (const positions of [3, 300])
            leavingNothing(() => {
              const settings: TuningSettings = { ...DEFAULT_TUNING_SETTINGS, damping, choice, refitOnAll };
              const form = { blockSize, withOffset };
              const fit = rounded(features, 6, positions);
              const heldOut = { ...rounded(features, 6, 100), weight: fit.weight };
              const projection = deviceProjection(fit, form);
              const [a, b] = [fit, heldOut].map((part) => makeSystem(sumsOnDevice(part, projection), projection));
              const own = solveScales({ fit: a, heldOut: b, settings, algebra: deviceAlgebra(forward) });
              const plain = solveScales({
                ...{
                  fit: plainSystem(fit, form),
                  heldOut: plainSystem(heldOut, form),
                  settings,
                  algebra: plainAlgebra,
                },
              });
              const what = `${features}, ${damping}, ${choice}, ${positions} positions`;
              assert.deepEqual(
                [own.rung, own.refitted, own.tried.length],
                [plain.rung, plain.refitted, plain.tried.length],
                what,
              );
              // Float32 sums, and three positions leave a system that damping alone makes solvable.
              assertWithin(largestGap(own.scales, plain.scales), 1e-3, what);
            });
});

test('features that are all 0 have no factor under a ridge, and scale 1 under the published damping', () =>
  leavingNothing(() => {
    for (const withOffset of [false, true]) {
      const problem = rounded(4, 3, 20);
      const dead = { ...problem, x: problem.x.map(() => 0) };
      const projection = deviceProjection(dead, { blockSize: 1, withOffset });
      const system = makeSystem(sumsOnDevice(dead, projection), projection);
      const algebra = deviceAlgebra(forward);
      assert.equal(algebra.solve(system, { kind: 'ridge', lambda: 1 }, system), null);
      const { x } = algebra.solve(system, { kind: 'reference' }, system)!;
      assert.ok(x.subarray(0, 4).every((value) => value === 0));
    }
  }));

/** BBᵀ + I: eigenvalues from 1 to a few times `size`. */
function positiveDefinite(size: number, rank = size): Float64Array {
  const b = draw(size * rank);
  const matrix = engine.scope(() => {
    const tensor = engine.uploadFloat64(b, [size, rank]);
    return engine.downloadFloat64(ops.matMul(tensor, tensor, false, true));
  });
  for (let i = 0; i < size; i++) matrix[i * size + i] += 1;
  return matrix;
}

/** On the host; null where its diagonal says that there is none. */
function factorOf(
  matrix: Float64Array,
  size: number,
  options: Parameters<typeof cholesky>[2] = {},
): Float64Array | null {
  return engine.scope(() => {
    const factor = cholesky(ops, engine.uploadFloat64(matrix, [size, size]), options);
    if (factor === null) return null;
    const pivots = engine.downloadFloat64(ops.diagonal64(factor));
    return pivots.every((pivot) => pivot > 0) ? engine.downloadFloat64(factor) : null;
  });
}

test('a factor is that of plain JavaScript; only the lower triangle is read', () =>
  leavingNothing(() => {
    for (const size of [1, 2, 7, 64, 130, 300]) {
      const matrix = positiveDefinite(size);
      assertWithin(largestGap(factorOf(matrix, size)!, plainCholesky(matrix, size)!), FLOAT64, `cholesky ${size}`);
      const spoiled = matrix.map((value, at) => (at % size > Math.floor(at / size) ? Number.NaN : value));
      assert.deepEqual(factorOf(spoiled, size), factorOf(matrix, size));
    }
  }));

test('a large matrix is factored in panels: the factor of one operation up to rounding, each time the same bits', () =>
  leavingNothing(() => {
    for (const size of [1537, 2048]) {
      const matrix = positiveDefinite(size, 64);
      const factor = factorOf(matrix, size, { whole: false })!;
      assertWithin(largestGap(factor, factorOf(matrix, size, { whole: true })!), FLOAT64, `cholesky ${size}`);
      const spoiled = matrix.map((value, at) => (at % size > Math.floor(at / size) ? Number.NaN : value));
      assert.deepEqual(factorOf(spoiled, size, { whole: false }), factor, 'only the lower triangle is read');
      matrix[(size - 1) * (size + 1)] = -1;
      assert.equal(factorOf(matrix, size, { whole: false }), null, 'indefinite late');
    }
  }));

test('a matrix that is not positive definite has no factor', () => {
  const large = positiveDefinite(200);
  large[150 * 201] = -1;
  const matrices: Record<string, [Float64Array, number]> = {
    indefinite: [Float64Array.of(1, 2, 2, 1), 2],
    singular: [Float64Array.of(1, 0, 0, 0), 2],
    zero: [new Float64Array(9), 3],
    negative: [Float64Array.of(-1), 1],
    'a number that is none': [Float64Array.of(1, 0, Number.NaN, 1), 2],
    'indefinite late': [large, 200],
  };
  for (const [what, [matrix, size]] of Object.entries(matrices)) {
    assert.equal(factorOf(matrix, size), null, what);
    assert.equal(plainCholesky(matrix, size), null, what);
  }
});

test('the factor of a large system can be given up between its panels', (t) => {
  const size = 3072;
  const matrix = positiveDefinite(size, 64);
  const at: number[] = [performance.now()];
  factorOf(matrix, size, { whole: false, checkCancelled: () => at.push(performance.now()) });
  at.push(performance.now());
  const longestMs = at.slice(1).reduce((longest, ms, i) => Math.max(longest, ms - at[i]), 0);
  t.diagnostic(
    `${size} unknowns: ${(at.at(-1)! - at[0]).toFixed(0)} ms, at the most ${longestMs.toFixed(0)} ms at once`,
  );
  assert.ok(at.length > 20, 'looked for often');
  const before = engine.tensorCount;
  for (const many of [1, 2, 9, 20]) {
    let left = many;
    const checkCancelled = () => {
      left -= 1;
      if (left === 0) throw new Error('given up');
    };
    assert.throws(() => factorOf(matrix, size, { whole: false, checkCancelled }), /^Error: given up$/);
    assert.ok(engine.tensorCount - before <= 32, 'only constants stay');
  }
});
