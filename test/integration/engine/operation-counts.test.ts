// How many operations a GPU is issued, stage by stage: each costs the host tens of microseconds, which is what limits small models
// there (docs/performance.md). Counted on the CPU, with the branches that a GPU takes. A number below that is not reached any
// more should be lowered, so that what was won is not lost unnoticed.
import assert from 'node:assert/strict';
import test from 'node:test';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import { loadOps } from '../../../worker/engine/binding.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import { runRefit } from '../../../worker/tasks/refit.ts';
import { runSolve } from '../../../worker/tasks/solve.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { stretchesOf } from '../../../worker/tuning/stretch.ts';
import { testPlan } from '../../support/engine.ts';
import { gpuBranches } from '../../support/gpu-branches.ts';
import { gradientFiles } from './refit-cases.ts';
import { halfMasks, LAYERS, randomSamples, tinyModel, WIDE_HIDDEN } from './tiny-model.ts';

/** Of three layers, two shards, and micro-batches as below; what a first run makes besides (weights, constants) not counted. The
 * model's 20 neurons are filled up to 24 columns, as those of usual dense models are not: 12 of Fisher's cut them off. Three of each
 * gradient micro-batch tell where its rows would be among padded ones; without padding there are half as many micro-batches. */
const MOST: Readonly<Record<string, Record<'operations' | 'uploads', number>>> = {
  fisher: { operations: 458, uploads: 2 },
  gradients: { operations: 494, uploads: 2 },
  evaluate: { operations: 236, uploads: 2 },
  tune: { operations: 446, uploads: 8 },
  // With one operation each that cuts the roots of weights, which go up once, into shards.
  refit: { operations: 578, uploads: 8 },
};
const BATCHES = [2, 2];

const skip = loadOps().library === null ? `no fused kernels: ${loadOps().problem}` : false;

test('operations of each stage', { skip }, async (t) => {
  const { config, model, folder } = await tinyModel(t, 'Bert', 'SequenceClassification', { hidden: WIDE_HIDDEN });
  // As many rows as only a GPU's plan has, and so few shards.
  const samples = randomSamples(
    config,
    Array.from({ length: 900 }, (_, i) => 4 + (i % 9)),
  );
  const limits = { groupSize: 1, tokensPerBatch: 2600, batchOverheadTokens: 3000, tokensPerShard: 1e4, leastShards: 2 };
  const plan = testPlan(samples, { ...limits, heldOut: 0.5 });
  assert.deepEqual(
    plan.shards.map(({ batches }) => batches.length),
    BATCHES,
  );
  assert.ok(
    plan.shards.every((_, shard) => stretchesOf(plan, shard).length === 1),
    'a GPU joins them',
  );
  const shards = { first: 0, end: 2 };
  const spans = [0, 1].map((first) => ({ first, end: first + 1 }));
  const [fit, heldOut] = spans.map((span) => ({ kind: 'shards', shards: span }) as const);
  const [teacher, masks] = [halfMasks('teacher'), halfMasks('student')];
  const student = { masks, patches: [] };
  const weights = { mean: 1, files: await gradientFiles(folder, plan, spans) };
  const common = { model, plan, planDigest: 'plan' };
  const places = Array.from({ length: 2 * LAYERS }, (_, step) => {
    return { layer: Math.floor(step / 2), subLayer: step % 2 === 0 ? 'attention' : 'ffn', part: 'output' } as const;
  });
  const stages: Record<string, (context: TaskContext) => Promise<unknown>> = {
    fisher: (context) => runFisher(context, { ...common, shards, gram: false }),
    gradients: (context) => runGradients(context, { ...common, shards, student }),
    evaluate: (context) => runEvaluate(context, { ...common, shards, student: null }),
    async tune(context) {
      for (const place of places) {
        const settings = DEFAULT_TUNING_SETTINGS;
        await runSolve(context, { ...common, teacher, student: masks, ...place, fit, heldOut, settings });
      }
    },
    async refit(context) {
      for (const place of places) {
        const settings = DEFAULT_REFIT_SETTINGS;
        await runRefit(context, { ...common, student, ...place, part: 'output', weights, fit, heldOut, settings });
      }
    },
  };
  const { context, counts } = gpuBranches();
  const found: Record<string, typeof counts> = {};
  for (const [stage, run] of Object.entries(stages)) {
    for (const round of ['first', 'counted']) {
      Object.assign(counts, { operations: 0, uploads: 0 });
      await run(context);
      if (round === 'counted') found[stage] = { ...counts };
      context.states.clear();
    }
  }
  context.models.clear();
  console.log(`# ${JSON.stringify(found)}`);
  for (const [stage, most] of Object.entries(MOST))
    for (const what of ['operations', 'uploads'] as const)
      assert.ok(
        found[stage][what] <= most[what],
        `${stage}: got ${found[stage][what]} ${what}, expected ${most[what]}`,
      );
});
