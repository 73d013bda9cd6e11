// Refits on the engine against direct weighted least squares of the float64 reference encoder's activations: every sub-layer,
// with patches before it, weights of positions, and sub-layers of which nothing is kept.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { SubLayer } from '../../../pruning/masks.ts';
import { runRefit } from '../../../worker/tasks/refit.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { patchedModel, patchSource, randomPatch } from './patches.ts';
import {
  assertLadder,
  gradientFiles,
  hasStretches,
  refitCase,
  reportOf,
  SETTINGS,
  TOLERANCE,
  weightsOf,
} from './refit-cases.ts';
import { assertWithin, largestGap, numbers, tensorOf } from './results.ts';
import { halfMasks, keeping, LAYERS, NEURONS, randomSamples, tinyModel } from './tiny-model.ts';

const LENGTHS = Array.from({ length: 48 }, (_, i) => 1 + ((i * 7) % 12));

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
            const expected = assertLadder(report, fitted, judge, what);
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
