// Refits on the engine against direct weighted least squares of the float64 reference encoder's activations: every sub-layer,
// with patches before it, weights of positions, and sub-layers of which nothing is kept.
//
// Tolerances: features and targets are float32 after up to three layers, right to 5e-6 of the largest (oracle.test.ts), and so are
// errors that are read from sums (6e-7 was seen; with TF32 5e-4). What a ridge makes of them may be moved by 1 / λ times as much,
// in proportion (3e-5 was seen with λ of 0.01; with TF32 3e-3).
import assert from 'node:assert/strict';
import test from 'node:test';
import type { SubLayer } from '../../../pruning/masks.ts';
import type { RefitReport } from '../../../pruning/refit.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { runRefit } from '../../../worker/tasks/refit.ts';
import { directError, directRefit, joinCases } from '../../support/direct-refit.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { tolerance } from '../../support/engine-under-test.ts';
import { patchedModel, patchSource, randomPatch } from './patches.ts';
import { gradientFiles, hasStretches, refitCase, weightsOf } from './refit-cases.ts';
import { assertWithin, largestGap, numbers, tensorOf } from './results.ts';
import { halfMasks, keeping, LAYERS, NEURONS, randomSamples, tinyModel } from './tiny-model.ts';

const TOLERANCE = tolerance({ float32: 2e-4, tf32: 2e-2 });
const ERRORS = tolerance({ float32: 5e-6, tf32: 5e-3 });
const LENGTHS = Array.from({ length: 48 }, (_, i) => 1 + ((i * 7) % 12));
const SETTINGS = { lambdas: [0.01, 0.1, 1] };

const MODELS = {
  'single label, BERT, gelu': ['Bert', 'SequenceClassification', {}],
  'regression, RoBERTa, tanh gelu': [
    'Roberta',
    'SequenceClassification',
    { activation: 'gelu_new', labels: 1, problem: 'regression' },
  ],
  'question answering, DistilBERT, relu': ['DistilBert', 'QuestionAnswering', { activation: 'relu' }],
} as const;

const N = Array.from({ length: NEURONS }, (_, i) => i);
const STUDENTS = {
  halves: halfMasks('student'),
  'nothing left of the first, the middle and the last layer': keeping([[], [1], []], [[3, 8], [], N]),
  'nothing left of the last FFN': keeping([[0, 1], [0], [2]], [N, [1], []]),
};

export function reportOf(tensors: readonly NamedTensor[]): RefitReport {
  return JSON.parse(new TextDecoder().decode(tensorOf(tensors, 'report').data as Uint8Array)) as RefitReport;
}

for (const [name, [architecture, head, fields]] of Object.entries(MODELS))
  for (const [kept, masks] of Object.entries(STUDENTS))
    test(`${name}, ${kept}: every sub-layer is refitted as by direct least squares`, async (t) => {
      const tiny = await tinyModel(t, architecture, head, fields);
      const { config, model } = tiny;
      const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 30, tokensPerShard: 70 });
      assert.ok(plan.shards.length > 3 && hasStretches(plan), `${plan.shards.length} shards`);
      const [fit, heldOut] = [
        { first: 0, end: plan.shards.length - 1 },
        { first: plan.shards.length - 1, end: plan.shards.length },
      ];
      const files = await gradientFiles(tiny.folder, plan, [{ first: 0, end: 2 }, { first: 2, end: fit.end }, heldOut]);
      const context = testContext();
      for (let layer = 0; layer < LAYERS; layer++)
        for (const kind of ['attention', 'ffn'] as const) {
          const step = 2 * layer + (kind === 'ffn' ? 1 : 0);
          const patches = PLACES.slice(0, step).map(([at, own]) => randomPatch(config, masks, at, own));
          const { encoder } = await patchedModel(t, tiny, patches);
          const encoders = { dense: tiny.encoder, student: encoder, masks };
          for (const mean of kept === 'halves' ? [null, 1.3] : [1.3]) {
            const what = `${layer} ${kind}, mean ${mean}`;
            const caseOf = (range: typeof fit, of: typeof files) => {
              const weights =
                mean === null
                  ? null
                  : weightsOf(
                      of.map(({ rows }) => rows[step]),
                      mean,
                    );
              return refitCase(encoders, { layer, kind }, { plan, range, weights });
            };
            const [fitted, judge] = [caseOf(fit, files.slice(0, 2)), caseOf(heldOut, files.slice(2))];
            const found = await runRefit(context, {
              ...{ model, plan, planDigest: name, student: { masks, patches: patches.map(patchSource) } },
              ...{ layer, subLayer: kind, part: 'output', weights: mean === null ? null : { files, mean } },
              ...{ fit: { kind: 'shards', shards: fit }, heldOut: { kind: 'shards', shards: heldOut } },
              settings: SETTINGS,
            });
            const report = reportOf(found);
            const errors = SETTINGS.lambdas.map((lambda) => directError(judge, directRefit(fitted, lambda)));
            errors.push(directError(judge, judge.current));
            const tried = report.tried.map((rung) => rung.heldOut!);
            assertWithin(largestGap(tried, errors), ERRORS, `${what}: held-out errors`);
            const best = report.tried.findIndex(({ rung }) => rung === report.rung);
            assert.equal(report.heldOutAfter, Math.min(...tried), what);
            const expected =
              best === SETTINGS.lambdas.length
                ? fitted.current
                : directRefit(joinCases([fitted, judge]), SETTINGS.lambdas[best]);
            assert.equal(report.refitted, best < SETTINGS.lambdas.length);
            assert.deepEqual([...tensorOf(found, 'weight').shape], [fitted.features, config.hiddenSize]);
            const got = [...numbers(found, 'weight'), ...numbers(found, 'bias')];
            assertWithin(largestGap(got, expected), TOLERANCE, `${what}: ${report.rung}`);
          }
        }
      context.states.clear();
      context.models.clear();
    });

const PLACES = Array.from({ length: LAYERS }, (_, layer): [number, SubLayer][] => [
  [layer, 'attention'],
  [layer, 'ffn'],
]).flat();
