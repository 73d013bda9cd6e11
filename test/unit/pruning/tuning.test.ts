import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import {
  DEFAULT_TUNING_SETTINGS,
  parseTuningSettings,
  type ScaleProblem,
  solveScales,
  type TuningSettings,
} from '../../../pruning/tuning.ts';
import { exactTarget, type LeastSquaresProblem, makeProblem, sumsOf } from '../../support/least-squares.ts';
import { matrixWith } from '../../support/matrix-with.ts';
import { cholesky, multiplyVector, solveCholesky, timesTranspose } from '../../support/plain-linear-algebra.ts';
import { plainAlgebra, residualOf, residualRight, solveReference, solveRidge } from '../../support/plain-solve.ts';
import {
  addSystems,
  outputProjection,
  type ScaleSystem,
  type SubLayerSums,
  scaleSystem,
} from '../../support/plain-system.ts';

const random = randomStream(4, 'tuning');
const REFERENCE: TuningSettings = { ...DEFAULT_TUNING_SETTINGS, damping: 'reference' };

function systemWith(eigenvalues: Float64Array): ScaleSystem {
  const size = eigenvalues.length;
  const matrix = matrixWith(eigenvalues, random);
  const right = new Float64Array(size).map(() => (random.uniform() - 0.5) * 1e5);
  return { scales: size, size, matrix, right, targetSquares: 1e9, coordinates: 1e4, positions: 1e4 };
}

/** Gaussian elimination with partial pivoting. */
function eliminate(matrix: number[][], right: number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const n = right.length;
  for (let c = 0; c < n; c++) {
    const pivot = rows
      .slice(c)
      .reduce((best, row, i) => (Math.abs(row[c]) > Math.abs(rows[best][c]) ? c + i : best), c);
    [rows[c], rows[pivot]] = [rows[pivot], rows[c]];
    for (let r = c + 1; r < n; r++) {
      const factor = rows[r][c] / rows[c][c];
      for (let k = c; k <= n; k++) rows[r][k] -= factor * rows[c][k];
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let r = n - 1; r >= 0; r--) {
    let value = rows[r][n];
    for (let k = r + 1; k < n; k++) value -= rows[r][k] * x[k];
    x[r] = value / rows[r][r];
  }
  return x;
}

/** The minimiser from the augmented system [[M, −I], [I, M]] [x; y] = [r; 0], whose condition number is M's own. */
function augmentedSolution(system: ScaleSystem): number[] {
  const { size } = system;
  const r = [...residualRight(system)];
  const row = (i: number) => [...system.matrix.subarray(i * size, (i + 1) * size)];
  const unit = (i: number, value: number) => Array.from({ length: size }, (_, j) => (i === j ? value : 0));
  const upper = r.map((_, i) => [...row(i), ...unit(i, -1)]);
  const lower = r.map((_, i) => [...unit(i, 1), ...row(i)]);
  return eliminate([...upper, ...lower], [...r, ...r.map(() => 0)]).slice(0, size);
}

/** |x − expected| / |expected| */
function relativeError(x: Float64Array, expected: number[]): number {
  return Math.hypot(...expected.map((value, i) => x[i] - value)) / Math.hypot(...expected);
}

/** Eigenvalues from 1e-4 to 1e7, evenly spaced on a log scale. */
const spread = (size: number) => new Float64Array(size).map((_, i) => 10 ** (7 - (11 * i) / Math.max(1, size - 1)));

test('the published system is solved as its augmented system is, with eigenvalues from 1e-4 to 1e7', () => {
  for (const size of [1, 2, 17, 40]) {
    const system = systemWith(spread(size));
    // Both are right to about the condition number 1e7 times 1e-16.
    const error = relativeError(solveReference(system)!, augmentedSolution(system));
    assert.ok(error < 1e-8, `size ${size}: error ${error}`);
  }
});

test('control: (M² + I) x = M r by Cholesky, formed as it stands, is far worse', () => {
  const size = 40;
  const system = systemWith(spread(size));
  const { matrix } = system;
  const squared = timesTranspose(matrix, size, matrix, size, size);
  for (let i = 0; i < size; i++) squared[i * (size + 1)] += 1;
  const factor = cholesky(squared, size);
  const right = multiplyVector(matrix, size, residualRight(system));
  const error = factor ? relativeError(solveCholesky(factor, size, right), augmentedSolution(system)) : 1;
  assert.ok(error > 1e-4, `error ${error}`);
});

test('ridge: (M + λ m I) x = r to rounding, the offset undamped', () => {
  const { x, r, weight, features, hiddenSize } = makeProblem(random, 9, 7, 50);
  const projection = outputProjection(weight, { features, hiddenSize, blockSize: 3 });
  const system = scaleSystem(sumsOf(x, r, features, hiddenSize), projection, true);
  const { size, scales, matrix } = system;
  const solution = solveRidge(system, 0.3)!;
  let mean = 0;
  for (let i = 0; i < scales; i++) mean += matrix[i * (size + 1)] / scales;
  const product = multiplyVector(matrix, size, solution);
  residualRight(system).forEach((value, i) => {
    const damped = i < scales ? 0.3 * mean * solution[i] : 0;
    assert.ok(Math.abs(product[i] + damped - value) < 1e-10, `row ${i}`);
  });
  assert.equal(solveRidge({ ...system, matrix: matrix.map(() => 0) }, 0.3), null);
});

/** A sub-layer's problem by its sums. */
interface SumsProblem extends Pick<ScaleProblem<ScaleSystem>, 'settings'> {
  readonly fit: SubLayerSums;
  readonly heldOut: SubLayerSums | null;
  readonly outputWeight: Float64Array;
  readonly blockSize: number;
  readonly withOffset: boolean;
}

function solved({ fit, heldOut, outputWeight, blockSize, withOffset, settings }: SumsProblem) {
  const projection = outputProjection(outputWeight, { features: fit.features, hiddenSize: fit.hiddenSize, blockSize });
  const system = (sums: SubLayerSums) => scaleSystem(sums, projection, withOffset);
  return solveScales({ fit: system(fit), heldOut: heldOut && system(heldOut), settings, algebra: plainAlgebra });
}

/** Fit and held-out sums of two halves of a problem. */
function scaleProblem(problem: LeastSquaresProblem, fields: Partial<SumsProblem> = {}, r = problem.r): SumsProblem {
  const { features, hiddenSize, positions, x, weight } = problem;
  const half = Math.floor(positions / 2);
  return {
    fit: sumsOf(x.slice(0, half * features), r.slice(0, half * hiddenSize), features, hiddenSize),
    heldOut: sumsOf(x.slice(half * features), r.slice(half * hiddenSize), features, hiddenSize),
    outputWeight: weight,
    blockSize: 1,
    withOffset: false,
    settings: DEFAULT_TUNING_SETTINGS,
    ...fields,
  };
}

test('scales that explain the target exactly are found, for heads with an offset and for neurons without', () => {
  const problem = makeProblem(random, 8, 6, 4000);
  for (const [blockSize, offset] of [
    [1, 0],
    [4, 0.7],
  ]) {
    const truth = (feature: number) => 1 + 0.5 * Math.sin(Math.floor(feature / blockSize) + 1);
    const target = exactTarget(problem, truth, offset);
    const fields = { blockSize, withOffset: offset !== 0, settings: { ...REFERENCE, refitOnAll: false } };
    const found = solved(scaleProblem(problem, fields, target));
    assert.equal(found.rung, 'reference');
    assert.equal(found.scales.length, 8 / blockSize);
    // Damping of 1 against squared eigenvalues above 1e6 moves the scales by less than 1e-6.
    found.scales.forEach((scale, i) => {
      assert.ok(Math.abs(scale - truth(i * blockSize)) < 1e-5, `scale ${i}: got ${scale}`);
    });
    assert.ok(Math.abs(found.offset - offset) < 1e-5);
    assert.ok(found.heldOutAfter! < 1e-9 && found.heldOutBefore! > 1e-3);
  }
});

test('refitOnAll solves the kept rung on fit and held-out sums together; the judgement stays that of the fit', () => {
  // A target near the features' own output, so that the first rung helps.
  const problem = makeProblem(random, 5, 4, 400);
  const target = exactTarget(problem, (f) => 1 + f / 5, 0).map((value) => value + 0.1 * (random.uniform() - 0.5));
  const refit = scaleProblem(problem, {}, target);
  const once = solved({ ...refit, settings: { ...DEFAULT_TUNING_SETTINGS, refitOnAll: false } });
  const twice = solved(refit);
  assert.deepEqual([once.refitted, twice.refitted], [false, true]);
  assert.deepEqual(twice.tried, once.tried);
  assert.equal(twice.heldOutAfter, once.heldOutAfter);
  const projection = outputProjection(problem.weight, { features: 5, hiddenSize: 4, blockSize: 1 });
  const [fit, heldOut] = [refit.fit, refit.heldOut!].map((sums) => scaleSystem(sums, projection, false));
  const all = solveRidge(addSystems(fit, heldOut), 1e-4)!;
  assert.deepEqual([...twice.scales], [...all.map((x) => x + 1)]);
  assert.notDeepEqual([...once.scales], [...twice.scales]);
  assert.equal(once.heldOutAfter, residualOf(heldOut, once.scales));
});

test('the ladder: stronger damping where the weaker fails on held-out sums, and scale 1 where all fail', () => {
  // Five positions fit eight scales perfectly; held out, the weak rungs are worse than scale 1.
  const problem = makeProblem(random, 8, 2, 400);
  const noisy = exactTarget(problem, () => 1, 0).map((value) => value + 3 * (random.uniform() - 0.5));
  const fit = sumsOf(problem.x.slice(0, 5 * 8), noisy.slice(0, 5 * 2), 8, 2);
  const heldOut = scaleProblem(
    problem,
    {},
    exactTarget(problem, (f) => 1 + 0.02 * f, 0),
  ).heldOut!;
  const overfitted = solved({ ...scaleProblem(problem), fit, heldOut, settings: REFERENCE });
  assert.ok(overfitted.tried.length > 1);
  assert.equal(overfitted.tried[0].rung, 'reference');
  assert.ok(overfitted.tried[0].heldOut! > overfitted.heldOutBefore!);

  // The fit pulls towards 2, what is held out towards 0: every rung is worse than scale 1.
  const twice = sumsOf(
    problem.x,
    exactTarget(problem, () => 2, 0),
    8,
    2,
  );
  const zero = sumsOf(
    problem.x,
    exactTarget(problem, () => 0, 0),
    8,
    2,
  );
  const opposed = solved({ ...scaleProblem(problem), fit: twice, heldOut: zero });
  assert.equal(opposed.rung, 'unscaled');
  assert.deepEqual([...opposed.scales], new Array(8).fill(1));
  assert.deepEqual(
    opposed.tried.map(({ rung }) => rung),
    ['ridge 0.0001', 'ridge 0.001', 'ridge 0.01', 'ridge 0.1', 'ridge 1'],
  );
  assert.equal(opposed.heldOutAfter, opposed.heldOutBefore);

  // The truth lies a little above 1, the fit far above: the strongest damping alone stays near enough.
  const slightly = sumsOf(
    problem.x,
    exactTarget(problem, () => 1.35, 0),
    8,
    2,
  );
  const damped = solved({ ...scaleProblem(problem), fit: twice, heldOut: slightly });
  assert.equal(damped.rung, 'ridge 1');
  assert.equal(damped.tried.length, 5);
});

test('choice "best" keeps the rung with the smallest held-out residual', () => {
  const problem = makeProblem(random, 8, 2, 400);
  const fit = sumsOf(
    problem.x,
    exactTarget(problem, () => 2, 0),
    8,
    2,
  );
  const heldOut = sumsOf(
    problem.x,
    exactTarget(problem, () => 1.9, 0),
    8,
    2,
  );
  const settings = { ...DEFAULT_TUNING_SETTINGS, choice: 'best' } as const;
  const found = solved({ ...scaleProblem(problem), fit, heldOut, settings });
  assert.equal(found.tried.length, 5);
  assert.equal(found.heldOutAfter, Math.min(...found.tried.map((tried) => tried.heldOut!)));
  assert.equal(found.rung, 'ridge 0.1');
});

test('one kept unit, no kept unit, dead features, nothing fitted, nothing held out', () => {
  for (const settings of [REFERENCE, DEFAULT_TUNING_SETTINGS])
    for (const withOffset of [false, true]) {
      const one = makeProblem(random, 1, 3, 600);
      const target = exactTarget(one, () => 1.4, 0);
      const single = solved(scaleProblem(one, { withOffset, settings }, target));
      assert.ok(Math.abs(single.scales[0] - 1.4) < 1e-3);

      const none = solved(scaleProblem(makeProblem(random, 0, 3, 10), { withOffset, settings, blockSize: 4 }));
      assert.equal(none.rung, 'empty');
      assert.equal(none.scales.length, 0);

      const dead = { ...one, x: one.x.map(() => 0) };
      const still = solved(scaleProblem(dead, { withOffset, settings }));
      assert.deepEqual([...still.scales], [1]);
      assert.equal(still.rung, 'unscaled');

      const unjudged = solved(scaleProblem(one, { withOffset, settings, heldOut: null }, target));
      assert.equal(unjudged.tried.length, 1);
      assert.deepEqual([unjudged.heldOutBefore, unjudged.heldOutAfter, unjudged.tried[0].heldOut], [null, null, null]);

      const fit = sumsOf(new Float64Array(0), new Float64Array(0), 1, 3);
      const unfitted = solved(scaleProblem(one, { withOffset, settings, fit }, target));
      assert.equal(unfitted.rung, 'unscaled');
    }
});

test('settings: what was written is read back, what is left out has its default, all problems are named at once', () => {
  assert.deepEqual(parseTuningSettings(JSON.stringify(REFERENCE)), REFERENCE);
  assert.deepEqual(parseTuningSettings('{}'), DEFAULT_TUNING_SETTINGS);
  assert.throws(() => parseTuningSettings('{"damping":"lsmr","ridgeLambdas":[1,0.1],"dampng":1}'), {
    code: 'protocol',
    message: /damping: got "lsmr".*ridgeLambdas: got \[1,0.1\].*dampng: unknown setting/,
  });
  for (const text of [
    '',
    '[]',
    'null',
    '{"ridgeLambdas":[]}',
    '{"ridgeLambdas":[0]}',
    '{"refitOnAll":1}',
    '{"choice":2}',
  ])
    assert.throws(() => parseTuningSettings(text), { code: 'protocol' });
});
