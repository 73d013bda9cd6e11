// Fused kernels against plain ones through whole tasks: dense and pruned, outputs, gradients and tuning; and that their bits do
// not depend on the number of threads.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import { loadOps } from '../../../worker/engine/binding.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import { runSolve } from '../../../worker/tasks/solve.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { patchSource, randomPatch } from './patches.ts';
import { assertWithin, largestGap, numbers } from './results.ts';
import { halfMasks, randomSamples, tinyModel } from './tiny-model.ts';

// Two float32 implementations through three layers.
const TOLERANCE = 2e-5;
// A solve makes more of what its sums differ by.
const SCALE_TOLERANCE = 1e-3;
const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6, 6, 2, 10, 10, 3, 7, 12, 1, 4, 9, 8];

const { library, problem } = loadOps();
const skip = library === null ? `no fused kernels: ${problem}` : false;

for (const [architecture, head, activation] of [
  ['Bert', 'SequenceClassification', 'gelu'],
  ['DistilBert', 'QuestionAnswering', 'relu'],
  ['Roberta', 'TokenClassification', 'gelu_new'],
] as const)
  test(`${architecture} for ${head} with ${activation}: both kinds agree`, { skip }, async (t) => {
    const { config, model } = await tinyModel(t, architecture, head, { activation });
    const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 22 });
    const shards = { first: 0, end: plan.shards.length };
    const [teacher, student] = [halfMasks('teacher'), halfMasks('student')];
    const parts = {
      fit: { kind: 'shards', shards: { first: 0, end: 5 } },
      heldOut: { kind: 'shards', shards: { first: 5, end: shards.end } },
    } as const;
    const run = async (context: TaskContext) => {
      const solve = (layer: number, subLayer: 'attention' | 'ffn') =>
        runSolve(context, {
          ...{ model, plan, planDigest: head, teacher, student, layer, subLayer, ...parts },
          settings: DEFAULT_TUNING_SETTINGS,
        });
      const patched = { masks: student, patches: [patchSource(randomPatch(config, student, 1, 'ffn'))] };
      const squares = await runGradients(context, { model, plan, shards, student: patched });
      const found = {
        gradients: numbers(await runFisher(context, { model, plan, shards, gram: false }), 'rows'),
        outputs: numbers(await runEvaluate(context, { model, plan, shards, student: null }), 'logits'),
        'outputs of a student': numbers(
          await runEvaluate(context, { model, plan, shards, student: { masks: student, patches: [] } }),
          'logits',
        ),
        'importance of heads': numbers(squares, 'head_importance'),
        'importance of neurons': numbers(squares, 'neuron_importance'),
        'token gradients': numbers(squares, 'token_gradients'),
        'scales of heads': numbers(await solve(1, 'attention'), 'scales'),
        'scales of neurons': numbers(await solve(1, 'ffn'), 'scales'),
      };
      context.states.clear();
      context.models.clear();
      return found;
    };
    const fused = await run(testContext({ kernels: 'fused' }));
    const plain = await run(testContext({ kernels: 'plain' }));
    for (const [what, expected] of Object.entries(plain)) {
      const tolerance = what.startsWith('scales') ? SCALE_TOLERANCE : TOLERANCE;
      assertWithin(largestGap(fused[what as keyof typeof plain], expected), tolerance, what);
    }
    assert.notDeepEqual(fused.gradients, plain.gradients, 'not one kind twice');
  });

test('the bits of fused kernels are the same for any number of threads', { skip }, () => {
  // Errors against float64 are as good as bits: they change with any of them.
  const program = `
    process.env.TF_NUM_INTRAOP_THREADS = process.argv[1];
    process.env.TF_CPP_MIN_LOG_LEVEL = '2';
    process.env.CUDA_VISIBLE_DEVICES = '-1';
    const { Engine } = await import(${JSON.stringify(moduleOf('worker/engine/engine.js'))});
    const { Ops } = await import(${JSON.stringify(moduleOf('worker/engine/ops.js'))});
    const { openKernels } = await import(${JSON.stringify(moduleOf('worker/engine/kernels/open-kernels.js'))});
    const { kernelCases } = await import(${JSON.stringify(moduleOf('test/support/kernel-cases.js'))});
    const engine = new Engine();
    const { kernels } = openKernels(new Ops(engine), 'fused');
    for (const { name, errors } of kernelCases()) console.log(name, JSON.stringify([...errors(engine, kernels)]));`;
  const told = ['1', '2', '5'].map((threads) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', program, threads], { encoding: 'utf8' }),
  );
  assert.ok(told[0].split('\n').length > 20);
  assert.equal(told[1], told[0]);
  assert.equal(told[2], told[0]);
});

function moduleOf(file: string): string {
  return fileURLToPath(new URL(`../../../${file}`, import.meta.url));
}
