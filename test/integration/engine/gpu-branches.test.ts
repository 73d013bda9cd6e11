// What a GPU does otherwise changes no result: every task with the branches of a GPU, whose FFN is wider than the neurons that are
// kept and whose attention goes without padding where heads have a size for it, against the same task of a CPU.
import assert from 'node:assert/strict';
import test from 'node:test';
import { denseMasks } from '../../../pruning/masks.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { loadOps } from '../../../worker/engine/binding.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import { runNormalEquations } from '../../../worker/tasks/normal-equations.ts';
import { runRefit } from '../../../worker/tasks/refit.ts';
import { runRefitEquations } from '../../../worker/tasks/refit-equations.ts';
import { runSolve } from '../../../worker/tasks/solve.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { gpuBranches } from '../../support/gpu-branches.ts';
import { patchSource, randomPatch } from './patches.ts';
import { gradientFiles } from './refit-cases.ts';
import { assertWithin, largestGap, numbers, squaresOfRows } from './results.ts';
import {
  HEADS,
  halfMasks,
  LAYERS,
  NEURONS,
  randomSamples,
  type TinyModel,
  tinyModel,
  WIDE_HIDDEN,
} from './tiny-model.ts';

/** Float32 sums in another order; solutions are moved by some times as much, those of more unknowns by more. */
const TOLERANCES = { few: 2e-5, wide: 5e-5 };

const skip = loadOps().library === null ? `no fused kernels: ${loadOps().problem}` : false;

for (const [width, head, architecture] of [
  ['few', 'SequenceClassification', 'Bert'],
  ['wide', 'SequenceClassification', 'Bert'],
  ['wide', 'QuestionAnswering', 'Bert'],
  ['wide', 'TokenClassification', 'Roberta'],
] as const)
  test(`every task gives what a CPU's does, ${width} hidden, ${head}`, { skip }, (t) =>
    tinyModel(t, architecture, head, width === 'wide' ? { hidden: WIDE_HIDDEN } : {}).then((tiny) =>
      compareTasks(tiny, width),
    ),
  );

async function compareTasks({ config, model, folder }: TinyModel, width: keyof typeof TOLERANCES): Promise<void> {
  const lengths = Array.from({ length: 60 }, (_, i) => 4 + (i % 9));
  const plan = testPlan(randomSamples(config, lengths), { groupSize: 1, leastShards: 2, heldOut: 0.5 });
  const shards = { first: 0, end: plan.shards.length };
  const half = Math.floor(shards.end / 2);
  const spans = [
    { first: 0, end: half },
    { first: half, end: shards.end },
  ];
  const [fit, heldOut] = spans.map((span) => ({ kind: 'shards', shards: span }) as const);
  const [teacher, masks] = [halfMasks('teacher'), halfMasks('student')];
  const weights = { mean: 1, files: await gradientFiles(folder, plan, spans) };
  const common = { model, plan, planDigest: 'plan' };
  const patches = [
    patchSource(randomPatch(config, masks, 0, 'ffn', '', 'output')),
    patchSource(randomPatch(config, masks, 1, 'ffn', '', 'input')),
  ];
  const { context: gpu, names } = gpuBranches();
  const contexts = { cpu: testContext({ kernels: 'fused' }), gpu };

  /** @param tolerance of what is not exactly the same. */
  const compare = async (what: string, run: (context: TaskContext) => Promise<readonly NamedTensor[]>) => {
    const [expected, found] = [await run(contexts.cpu), await run(contexts.gpu)];
    assert.deepEqual(found.map(formOf), expected.map(formOf), what);
    for (const [i, { name, data }] of found.entries())
      if (data instanceof Float32Array || data instanceof Float64Array)
        assertWithin(largestGap(data, expected[i].data as Float64Array), TOLERANCES[width], `${what}: ${name}`);
  };

  for (const student of [
    { masks, patches: [] },
    { masks, patches },
  ]) {
    const name = `${student.patches.length} patches`;
    const { layers } = await contexts.gpu.models.student(model, masks, student.patches);
    assert.ok(
      layers.some(({ ffnIn, neurons }) => ffnIn!.bias.shape[0] > neurons),
      name,
    );
    await compare(`gradients, ${name}`, (context) => runGradients(context, { ...common, shards, student }));
    for (const precision of ['float32', 'tf32'] as const)
      await compare(`evaluate in ${precision}, ${name}`, (context) =>
        runEvaluate(context, { ...common, shards, student, precision }),
      );
    for (let layer = 0; layer < LAYERS; layer++) {
      const outputs = { ...common, student, layer, subLayer: 'ffn', part: 'output', weights } as const;
      const settings = DEFAULT_REFIT_SETTINGS;
      const place = `layer ${layer}, ${name}`;
      await compare(`refit equations, ${place}`, (context) => runRefitEquations(context, { ...outputs, shards }));
      await compare(`refit, ${place}`, (context) => runRefit(context, { ...outputs, fit, heldOut, settings }));
      const inputs = { ...outputs, part: 'input' } as const;
      await compare(`refit of inputs, ${place}`, (context) => runRefit(context, { ...inputs, fit, heldOut, settings }));
    }
  }
  await compare('evaluate, dense', (context) => runEvaluate(context, { ...common, shards, student: null }));
  // Masks that keep all leave the dense model: the same gradients to the bit, squared and added in float64 by both.
  const dense = { masks: denseMasks(LAYERS, HEADS, NEURONS), patches: [] };
  const { models } = contexts.gpu;
  for (const whole of [await models.dense(model), await models.student(model, dense.masks, [])])
    for (const { ffnIn, ffnOut } of whole.layers)
      assert.deepEqual([ffnIn!.kernel.shape[1], ffnIn!.bias.shape[0], ffnOut!.shape[0]], [24, 24, 24]);
  const importance = await runGradients(contexts.gpu, { ...common, shards, student: dense });
  const rows = numbers(await runFisher(contexts.gpu, { ...common, shards, gram: false }), 'rows');
  const squares = squaresOfRows(rows, LAYERS * (HEADS + NEURONS));
  const summed = [...numbers(importance, 'head_importance'), ...numbers(importance, 'neuron_importance')];
  assertWithin(largestGap(summed, squares), 1e-14, 'importance of the dense model');
  for (let layer = 0; layer < LAYERS; layer++) {
    // The scales of layers before are those that tuning has found, not 1.
    const scaled = { ...masks, neuronScales: masks.neuronScales.map((_, i) => 0.8 + (i % 5) / 10) };
    const place = { ...common, teacher, student: scaled, layer, subLayer: 'ffn' } as const;
    const settings = DEFAULT_TUNING_SETTINGS;
    await compare(`normal equations, layer ${layer}`, (context) => runNormalEquations(context, { ...place, shards }));
    await compare(`solve, layer ${layer}`, (context) => runSolve(context, { ...place, fit, heldOut, settings }));
  }
  for (const context of Object.values(contexts)) {
    context.states.clear();
    context.models.clear();
  }
  for (const operation of ['EspalierVarlenAttention', 'EspalierVarlenAttentionGrad'])
    assert.equal(names.has(operation), width === 'wide', operation);
}

function formOf({ name, dtype, shape }: NamedTensor): object {
  // Text has as many characters as its numbers have digits.
  return { name, dtype, shape: dtype === 'U8' ? null : shape };
}
