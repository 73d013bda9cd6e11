// The ladder of a refit, over an algebra in plain JavaScript that is compared with direct least squares.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import {
  DEFAULT_REFIT_SETTINGS,
  parseRefitSettings,
  type RefitJudge,
  type RefitSettings,
  refitProjection,
} from '../../../pruning/refit.ts';
import { directError, directRefit, joinCases, type RefitCase } from '../../support/direct-refit.ts';
import { errorOfSums, plainRefit, plainRefitAlgebra } from '../../support/plain-refit.ts';

const random = randomStream(6, 'refit');
const draw = (length: number) => new Float64Array(length).map(() => random.uniform() * 2 - 1);

/** Positions of one projection; `truth` is what R is made of, but for noise. */
interface Drawn {
  readonly features: number;
  readonly hiddenSize: number;
  readonly current: Float64Array;
  readonly truth: ArrayLike<number>;
}

function drawCase({ features, hiddenSize, current, truth }: Drawn, positions: number, noise: number): RefitCase {
  const x = draw(positions * features);
  const r = new Float64Array(positions * hiddenSize).map((_, at) => {
    const [t, d] = [Math.floor(at / hiddenSize), at % hiddenSize];
    let sum = truth[features * hiddenSize + d];
    for (let f = 0; f < features; f++) sum += x[t * features + f] * truth[f * hiddenSize + d];
    return sum + noise * (random.uniform() * 2 - 1);
  });
  return { features, hiddenSize, x, r, weights: draw(positions).map((value) => 1 + value / 2), current };
}

function refit(fit: RefitCase, heldOut: RefitCase | null, settings: RefitSettings = DEFAULT_REFIT_SETTINGS) {
  const problem = { fit: plainRefit(fit), heldOut: heldOut && plainRefit(heldOut), settings };
  return refitProjection({ ...problem, algebra: plainRefitAlgebra });
}

function assertClose(got: ArrayLike<number> | null, expected: ArrayLike<number>): void {
  assert.equal(got?.length, expected.length);
  // Normal equations square a condition number, here of some tens, of float64's 1e-16.
  for (let at = 0; at < expected.length; at++)
    assert.ok(Math.abs(got![at] - expected[at]) < 1e-11, `${at}: got ${got![at]}, expected ${expected[at]}`);
}

const sizes = (features: number, hiddenSize = 3) => {
  const length = (features + 1) * hiddenSize;
  return { features, hiddenSize, current: draw(length), truth: draw(length) };
};

test('rungs are tried from the strongest on until the held-out error rises, and the best is solved once more on all positions', () => {
  const { lambdas } = DEFAULT_REFIT_SETTINGS;
  const kept = new Set<number>();
  for (const [features, noise] of [
    [5, 0.5],
    [5, 3],
    [5, 8],
    [5, 20],
    [1, 2],
    [0, 0.5],
  ]) {
    const own = sizes(features);
    const [fit, heldOut] = [drawCase(own, 40, noise), drawCase(own, 15, noise)];
    const { projection, report } = refit(fit, heldOut);
    const errors = lambdas.map((lambda) => directError(heldOut, directRefit(fit, lambda)));
    errors.push(directError(heldOut, own.current));
    let best = lambdas.length;
    // Without features all lambdas give the same.
    while (best > (features === 0 ? 3 : 0) && errors[best - 1] < errors[best]) best--;
    kept.add(best);
    const first = Math.max(0, best - 1);
    assert.deepEqual(
      report.tried.map(({ rung }) => rung),
      ['ridge 0.001', 'ridge 0.01', 'ridge 0.1', 'ridge 1', 'unchanged'].slice(first),
    );
    assertClose(
      report.tried.map(({ heldOut: error }) => error!),
      errors.slice(first),
    );
    const taken = report.tried[best - first];
    assert.equal(report.rung, taken.rung);
    assert.equal(report.heldOutAfter, taken.heldOut);
    assert.equal(report.heldOutBefore, report.tried.at(-1)!.heldOut);
    assert.equal(report.refitted, best < lambdas.length);
    if (best === lambdas.length) assert.equal(projection, null);
    else assertClose(projection, directRefit(joinCases([fit, heldOut]), lambdas[best]));
  }
  assert.ok(kept.size >= 3, `control: only rungs ${[...kept]} were kept`);
});

test('an error from sums is that of the activations', () => {
  const own = sizes(4);
  const fit = drawCase(own, 30, 0.3);
  for (const projection of [own.current, own.truth, draw(15)])
    assertClose([errorOfSums(plainRefit(fit), projection)], [directError(fit, projection)]);
});

test('a projection that nothing betters stays as it is', () => {
  const own = sizes(4);
  const right = { ...own, current: Float64Array.from(own.truth) };
  const kept = refit(drawCase(right, 6, 3), drawCase(right, 50, 0));
  assert.equal(kept.projection, null);
  assert.equal(kept.report.rung, 'unchanged');
  assert.equal(kept.report.refitted, false);
  assert.equal(kept.report.heldOutAfter, kept.report.heldOutBefore);
  assert.equal(kept.report.tried.length, 2);
});

test('of equal errors the stronger damping is taken, and what cannot be solved ends the ladder', () => {
  const walked = (errors: readonly (number | null)[], unchanged: number) => {
    const solved: number[] = [];
    const { report, projection } = refitProjection<{ positions: number }, RefitJudge, number>({
      ...{ fit: { positions: 1 }, heldOut: { positions: 1, unchanged }, settings: { lambdas: [1, 2, 3] } },
      algebra: {
        solve: (_, lambda, judge) => {
          if (judge !== null) solved.push(lambda);
          const heldOut = errors[lambda - 1];
          return heldOut === null ? null : { projection: lambda, heldOut: judge && heldOut };
        },
        add: () => ({ positions: 2 }),
      },
    });
    const { rung, tried } = report;
    return { rung, projection, solved, tried: tried.map(({ heldOut }) => heldOut) };
  };
  assert.deepEqual(walked([4, 4, 5], 6), { rung: 'ridge 2', projection: 2, solved: [3, 2, 1], tried: [4, 4, 5, 6] });
  assert.deepEqual(walked([1, 4, 4], 6), { rung: 'ridge 3', projection: 3, solved: [3, 2], tried: [4, 4, 6] });
  assert.deepEqual(walked([1, 1, 4], 4), { rung: 'unchanged', projection: null, solved: [3], tried: [4, 4] });
  assert.deepEqual(walked([1, 2, 3], 4), { rung: 'ridge 1', projection: 1, solved: [3, 2, 1], tried: [1, 2, 3, 4] });
  assert.deepEqual(walked([1, null, 3], 4), { rung: 'ridge 3', projection: 3, solved: [3, 2], tried: [null, 3, 4] });
  assert.deepEqual(walked([1, 2, null], 4), { rung: 'unchanged', projection: null, solved: [3], tried: [null, 4] });
  assert.deepEqual(walked([0, 0, 0], 0), { rung: 'unchanged', projection: null, solved: [], tried: [0] });
});

test('without held-out positions the smallest lambda that can be solved is taken unjudged', () => {
  const own = sizes(5);
  const fit = drawCase(own, 40, 0.5);
  const none = { ...drawCase(own, 1, 0), x: [], r: [], weights: [] };
  for (const heldOut of [null, none]) {
    const { projection, report } = refit(fit, heldOut, { lambdas: [0.2, 0.5] });
    assertClose(projection, directRefit(fit, 0.2));
    const tried = [{ rung: 'ridge 0.2', heldOut: null }];
    const errors = { heldOutBefore: null, heldOutAfter: null };
    assert.deepEqual(report, { rung: 'ridge 0.2', tried, ...errors, refitted: false });
  }
});

test('features that are 0 everywhere cannot be solved for, nor can no positions: the projection stays', () => {
  const own = sizes(3);
  const fit = drawCase(own, 20, 0.5);
  const dead = { ...fit, x: new Float64Array(60) };
  const { projection, report } = refit(dead, dead);
  assert.equal(projection, null);
  assert.equal(report.rung, 'unchanged');
  assert.deepEqual(
    report.tried.slice(0, -1).map(({ heldOut }) => heldOut),
    [null],
  );
  assert.deepEqual(refit(dead, null).report.rung, 'unchanged');
  const none = refit({ ...fit, x: [], r: [], weights: [] }, fit).report;
  assert.deepEqual(none, { rung: 'unchanged', tried: [], heldOutBefore: null, heldOutAfter: null, refitted: false });
});

test('where the whole cannot be solved the part stands', () => {
  const own = sizes(3);
  const [fit, heldOut] = [drawCase(own, 30, 0.2), drawCase(own, 30, 0.2)];
  const { projection, report } = refitProjection({
    ...{ fit: plainRefit(fit), heldOut: plainRefit(heldOut), settings: { lambdas: [0.01] } },
    algebra: { ...plainRefitAlgebra, add: (a) => ({ ...a, sums: { ...a.sums, gram: new Float64Array(16) } }) },
  });
  assert.equal(report.refitted, false);
  assert.equal(report.rung, 'ridge 0.01');
  assertClose(projection, directRefit(fit, 0.01));
});

test('settings: defaults, and every mistake named', () => {
  assert.deepEqual(parseRefitSettings('{}'), { lambdas: [1e-3, 1e-2, 1e-1, 1] });
  assert.deepEqual(parseRefitSettings('{"lambdas":[0.5]}'), { lambdas: [0.5] });
  for (const lambdas of ['[]', '[1,1]', '[0]', '[-1]', '["1"]', '1', 'null'])
    assert.throws(() => parseRefitSettings(`{"lambdas":${lambdas},"other":1}`), {
      code: 'protocol',
      message: /refit settings: lambdas: got .*expected one or more positive numbers that rise; other: unknown setting/,
    });
  assert.throws(() => parseRefitSettings('no'), { code: 'protocol', message: /refit settings: got no JSON/ });
  assert.throws(() => parseRefitSettings('[]'), { code: 'protocol', message: /expected an object/ });
});
