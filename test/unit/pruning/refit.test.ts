// The ladder of a refit, over an algebra in plain JavaScript that is compared with direct least squares.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import {
  DEFAULT_REFIT_SETTINGS,
  parseRefitSettings,
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

test('of all rungs that with the smallest held-out error is taken, and solved once more on all positions', () => {
  for (const features of [5, 1, 0]) {
    const own = sizes(features);
    const [fit, heldOut] = [drawCase(own, 40, 0.5), drawCase(own, 15, 0.5)];
    const { projection, report } = refit(fit, heldOut);
    const expected = DEFAULT_REFIT_SETTINGS.lambdas.map((lambda) => directError(heldOut, directRefit(fit, lambda)));
    assert.deepEqual(
      report.tried.map(({ rung }) => rung),
      ['ridge 0.001', 'ridge 0.01', 'ridge 0.1', 'ridge 1', 'unchanged'],
    );
    assertClose(
      report.tried.map(({ heldOut: error }) => error!),
      [...expected, directError(heldOut, own.current)],
    );
    const best = features === 0 ? 3 : expected.indexOf(Math.min(...expected));
    assert.equal(report.rung, report.tried[best].rung);
    assert.equal(report.heldOutAfter, report.tried[best].heldOut);
    assert.equal(report.heldOutBefore, report.tried[4].heldOut);
    assert.equal(report.refitted, true);
    assertClose(projection, directRefit(joinCases([fit, heldOut]), DEFAULT_REFIT_SETTINGS.lambdas[best]));
  }
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
  assert.equal(kept.report.tried.length, 5);
});

test('of equal errors the stronger damping is taken', () => {
  const tied = (errors: readonly (number | null)[], unchanged: number) =>
    refitProjection<{ positions: number }, number>({
      ...{ fit: { positions: 1 }, heldOut: { positions: 1 }, settings: { lambdas: [1, 2, 3] } },
      algebra: {
        solve: (_, lambdas, judge) => ({
          unchanged,
          solutions: lambdas.map((lambda) => {
            const heldOut = errors[lambda - 1];
            return heldOut === null ? null : { projection: lambda, heldOut: judge && heldOut };
          }),
        }),
        add: () => ({ positions: 2 }),
      },
    });
  assert.equal(tied([4, 4, 5], 6).report.rung, 'ridge 2');
  assert.equal(tied([5, 4, 4], 6).projection, 3);
  assert.equal(tied([4, 4, 4], 4).report.rung, 'unchanged');
  const unsolved = tied([null, 3, null], 4);
  assert.equal(unsolved.report.rung, 'ridge 2');
  assert.deepEqual(
    unsolved.report.tried.map(({ heldOut }) => heldOut),
    [null, 3, null, 4],
  );
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
    report.tried.slice(0, 4).map(({ heldOut }) => heldOut),
    [null, null, null, null],
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
