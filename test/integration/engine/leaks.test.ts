// Nothing stays on the device after a task but what the caches keep, however the task ends. Constants (shapes, axes,
// factors) stay by design: the first round makes them, after which the count of tensors must not move at all.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import { Engine } from '../../../worker/engine/engine.ts';
import { openKernels } from '../../../worker/engine/kernels/open-kernels.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { Forward } from '../../../worker/model/forward.ts';
import { ModelCache } from '../../../worker/model/model-cache.ts';
import { runActivations } from '../../../worker/tasks/activations.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import { runLatency } from '../../../worker/tasks/latency.ts';
import { runNormalEquations } from '../../../worker/tasks/normal-equations.ts';
import { runRefit } from '../../../worker/tasks/refit.ts';
import { runRefitEquations } from '../../../worker/tasks/refit-equations.ts';
import { runRefits } from '../../../worker/tasks/refits.ts';
import { runSolve } from '../../../worker/tasks/solve.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { TuningStates } from '../../../worker/tuning/tuning-states.ts';
import { bindingWith } from '../../support/binding-with.ts';
import { testBinding, testKernels, testPlan } from '../../support/engine.ts';
import { patchSource, randomPatch } from './patches.ts';
import { gradientFiles } from './refit-cases.ts';
import { byName } from './results.ts';
import { HEADS, halfMasks, keeping, LAYERS, NEURONS, randomSamples, type TinyModel, tinyModel } from './tiny-model.ts';

const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6];
const TEACHER = halfMasks('teacher');
const STUDENT: Masks = { ...halfMasks('student'), headScales: new Float32Array(LAYERS * HEADS).fill(0.9) };
/** The same without scales, which a sub-layer that is refitted must not have. */
const REFITTED = halfMasks('student');

/** With patches of which the first was fitted where more was kept. */
function patchedStudent(config: ModelConfig) {
  const masks = keeping([[0, 2], [], [1]], [[], [2, 3, 7], [5]]);
  const patches = [
    randomPatch(config, denseMasks(LAYERS, HEADS, NEURONS), 0, 'attention'),
    ...([0, 1, 2] as const).map((layer) => randomPatch(config, masks, layer, 'ffn')),
    randomPatch(config, masks, 0, 'attention', '', 'input'),
    randomPatch(config, masks, 1, 'ffn', '', 'input'),
  ];
  return { masks, patches: patches.map(patchSource) };
}

/** A binding of which the n-th call that makes tensors fails, and a context that uses it. */
function fragileContext(stateBytes: number) {
  const binding = testBinding();
  const control = { calls: 0, failAt: Number.POSITIVE_INFINITY, checks: 0, cancelAt: Number.POSITIVE_INFINITY };
  const count = () => {
    control.calls += 1;
    if (control.calls === control.failAt) throw new Error('failed on purpose');
  };
  const fragile = bindingWith(binding, {
    createTensor(...args) {
      count();
      return binding.createTensor(...args);
    },
    executeOp(...args) {
      count();
      return binding.executeOp(...args);
    },
  });
  const engine = new Engine(fragile);
  const ops = new Ops(engine);
  const forward = new Forward(ops, openKernels(ops, testKernels()).kernels);
  const checkCancelled = () => {
    control.checks += 1;
    if (control.checks === control.cancelAt) throw new EspalierError('cancelled', 'nobody waits');
  };
  const context: TaskContext = {
    ...{ engine, ops, forward },
    models: new ModelCache(ops, checkCancelled),
    states: new TuningStates(forward, stateBytes, checkCancelled),
    checkCancelled,
  };
  return { context, control };
}

/** Tasks of every kind; the tuning tasks leave hidden states behind for each other. */
function tasksOf({ config, model, folder }: TinyModel): Record<string, (context: TaskContext) => Promise<unknown>> {
  const samples = randomSamples(config, LENGTHS);
  const plan = testPlan(samples, { groupSize: 2, tokensPerBatch: 24, tokensPerShard: 30 });
  const shards = { first: 0, end: plan.shards.length };
  const tuning = { model, plan, planDigest: 'plan', teacher: TEACHER, student: STUDENT, layer: 1 };
  const settings = DEFAULT_TUNING_SETTINGS;
  const heldOut = { kind: 'shards', shards: { first: 2, end: shards.end } } as const;
  return {
    fisher: (context) => runFisher(context, { model, plan, shards, gram: false }),
    'fisher grams': (context) => runFisher(context, { model, plan, shards, gram: true }),
    evaluate: (context) => runEvaluate(context, { model, plan, shards, student: null }),
    'evaluate a student': (context) =>
      runEvaluate(context, { model, plan, shards, student: { masks: STUDENT, patches: [] } }),
    gradients: (context) => runGradients(context, { model, plan, shards, student: patchedStudent(config) }),
    'evaluate a patched student': (context) =>
      runEvaluate(context, { model, plan, shards, student: patchedStudent(config) }),
    'normal equations': async (context) => {
      await runNormalEquations(context, { ...tuning, layer: 0, subLayer: 'ffn', shards: { first: 0, end: 2 } });
      await runNormalEquations(context, { ...tuning, subLayer: 'attention', shards });
      await runNormalEquations(context, { ...tuning, subLayer: 'ffn', shards });
    },
    activations: async (context) => {
      await runNormalEquations(context, { ...tuning, subLayer: 'attention', shards: { first: 0, end: 2 } });
      await runActivations(context, { ...tuning, subLayer: 'ffn', shards });
      await runNormalEquations(context, { ...tuning, subLayer: 'ffn', shards });
    },
    'sums from given states': async (context) => {
      const input = { ...tuning, subLayer: 'ffn', shards } as const;
      const statesPath = join(folder, 'states');
      await writeFile(statesPath, encodeSafetensors(await runActivations(context, input)));
      context.states.clear();
      await runNormalEquations(context, { ...input, statesPath });
    },
    'solve from shards': (context) => {
      const fit = { kind: 'shards', shards: { first: 0, end: 2 } } as const;
      return runSolve(context, { ...tuning, subLayer: 'attention', fit, heldOut, settings });
    },
    'solve from sums': async (context) => {
      const sums = await runNormalEquations(context, { ...tuning, layer: 2, subLayer: 'ffn', shards });
      const fit = { kind: 'sums', tensors: byName(sums) } as const;
      return runSolve(context, { ...tuning, layer: 2, subLayer: 'ffn', fit, heldOut: null, settings });
    },
    refits: async (context) => {
      const patches = [patchSource(randomPatch(config, STUDENT, 0, 'ffn'))];
      const student = { masks: REFITTED, patches };
      const place = { model, plan, planDigest: 'plan', student, layer: 1, part: 'output' } as const;
      const [fitted, judging] = [
        { first: 0, end: 2 },
        { first: 2, end: shards.end },
      ];
      const weights = { mean: 1, files: await gradientFiles(folder, plan, [fitted, judging]) };
      const fit = { kind: 'shards', shards: fitted } as const;
      await runRefit(context, {
        ...{ ...place, subLayer: 'attention', weights, fit },
        ...{ heldOut: { kind: 'shards', shards: judging }, settings: DEFAULT_REFIT_SETTINGS },
      });
      const own = { ...place, subLayer: 'ffn' } as const;
      const files = weights.files.slice(0, 1);
      const sums = await runRefitEquations(context, { ...own, weights: { mean: 1, files }, shards: fitted });
      return runRefit(context, {
        ...{ ...own, weights: null, fit: { kind: 'sums', tensors: byName(sums) }, heldOut: null },
        settings: DEFAULT_REFIT_SETTINGS,
      });
    },
    'refit of inputs': (context) => {
      const student = { masks: REFITTED, patches: [] };
      const place = { model, plan, planDigest: 'plan', student, layer: 0, subLayer: 'ffn', part: 'input' } as const;
      const fit = { kind: 'shards', shards: { first: 0, end: 1 } } as const;
      return runRefit(context, { ...place, weights: null, fit, heldOut: null, settings: { lambdas: [1] } });
    },
    'several refits': (context) => {
      const student = { masks: REFITTED, patches: [patchSource(randomPatch(config, STUDENT, 0, 'ffn'))] };
      const place = { model, plan, planDigest: 'plan', student, layer: 0, subLayer: 'ffn' } as const;
      const fit = { kind: 'shards', shards: { first: 0, end: 1 } } as const;
      const first = { ...place, part: 'input', weights: null, fit, heldOut: null, settings: { lambdas: [1] } } as const;
      const next = [0, 1].map((layer) => ({ layer, subLayer: 'ffn', part: 'output', mean: 0 }) as const);
      return runRefits(context, first, next, () => {});
    },
    latency: (context) => {
      const masked = [STUDENT, TEACHER, denseMasks(LAYERS, HEADS, NEURONS), halfMasks('a'), halfMasks('b')];
      const students = [null, patchedStudent(config), ...masked.map((masks) => ({ masks, patches: [] }))];
      const shape = { batchSize: 2, tokens: 5, repeats: 2, leastSeconds: 0, threads: 0 };
      return runLatency(context, { model, students, models: [model, { ...model }], runtime: 'engine', ...shape });
    },
  };
}

/** Those of which the head is a part; they leave no hidden states. */
const WITH_HEAD: readonly string[] = [
  ...['fisher', 'fisher grams', 'evaluate', 'evaluate a student', 'gradients', 'evaluate a patched student', 'latency'],
];

function clear({ states, models }: TaskContext): void {
  states.clear();
  models.clear();
}

const PLENTY = 1e9;
const LITTLE = 10_000;

// With another head everything again of which it is a part.
for (const head of ['SequenceClassification', 'TokenClassification'] as const) {
  const isFirst = head === 'SequenceClassification';
  const tasksOn = async (t: TestContext) => {
    const tasks = Object.entries(tasksOf(await tinyModel(t, 'Bert', head)));
    return Object.fromEntries(tasks.filter(([name]) => isFirst || WITH_HEAD.includes(name)));
  };

  test(`${head}: tasks that succeed leave nothing but constants, once`, async (t) => {
    const tasks = await tasksOn(t);
    for (const stateBytes of isFirst ? [PLENTY, LITTLE, 0] : [PLENTY]) {
      const { context } = fragileContext(stateBytes);
      const counts: number[] = [];
      for (let round = 0; round < 3; round++) {
        for (const run of Object.values(tasks)) await run(context);
        clear(context);
        counts.push(context.engine.tensorCount);
      }
      assert.deepEqual(counts, new Array(3).fill(counts[0]));
    }
  });

  test(`${head}: tasks cancelled at any micro-batch leave nothing`, async (t) => {
    const tasks = await tasksOn(t);
    for (const stateBytes of isFirst ? [PLENTY, 0] : [PLENTY]) {
      const { context, control } = fragileContext(stateBytes);
      for (const [name, run] of Object.entries(tasks)) {
        if (stateBytes === 0 && WITH_HEAD.includes(name)) continue;
        control.checks = 0;
        await run(context);
        clear(context);
        const checks = control.checks;
        assert.ok(checks > 0, `${name} can be cancelled`);
        const before = context.engine.tensorCount;
        for (let at = 1; at <= checks; at++) {
          Object.assign(control, { checks: 0, cancelAt: at });
          await assert.rejects(run(context), { code: 'cancelled' });
          control.cancelAt = Number.POSITIVE_INFINITY;
          clear(context);
          assert.equal(context.engine.tensorCount, before, `${name}, cancelled at check ${at} of ${checks}`);
        }
      }
    }
  });

  test(`${head}: tasks of which any single TensorFlow call fails leave nothing, and the next one works`, async (t) => {
    const tasks = await tasksOn(t);
    for (const stateBytes of isFirst ? [PLENTY, 0] : [PLENTY]) {
      const { context, control } = fragileContext(stateBytes);
      for (const [name, run] of Object.entries(tasks)) {
        if (stateBytes === 0 && WITH_HEAD.includes(name)) continue;
        // Constants are made in the first run, so that the second makes all its calls in the order of the failing ones.
        for (let round = 0; round < 2; round++) {
          control.calls = 0;
          await run(context);
          clear(context);
        }
        const { calls } = control;
        const before = context.engine.tensorCount;
        // Every 61st call, another one for each kind of task: all sorts of calls are met.
        for (let at = 1 + name.length; at <= calls; at += 61) {
          Object.assign(control, { calls: 0, failAt: at });
          await assert.rejects(run(context), /failed on purpose/);
          control.failAt = Number.POSITIVE_INFINITY;
          clear(context);
          assert.equal(context.engine.tensorCount, before, `${name}, call ${at} of ${calls}`);
        }
        await run(context);
        clear(context);
        assert.equal(context.engine.tensorCount, before, `${name}, after its failures`);
      }
    }
  });
}

test('hidden states of a failed task do not spoil the next: caches need not be cleared', async (t) => {
  const tasks = tasksOf(await tinyModel(t, 'Bert', 'SequenceClassification'));
  const { context, control } = fragileContext(PLENTY);
  const run = tasks['normal equations'];
  await run(context);
  await run(context);
  const before = context.engine.tensorCount;
  control.checks = 0;
  for (let at = 1; at <= 10; at++) {
    Object.assign(control, { checks: 0, cancelAt: at });
    await assert.rejects(run(context), { code: 'cancelled' });
  }
  control.cancelAt = Number.POSITIVE_INFINITY;
  await run(context);
  assert.equal(context.engine.tensorCount, before);
  clear(context);
});
