// Passes do not wait for the device: what goes up and what comes down is counted (docs/adr/0026-passes-without-a-wait.md).
import assert from 'node:assert/strict';
import test from 'node:test';
import { Engine, INT32 } from '../../../worker/engine/engine.ts';
import { openKernels } from '../../../worker/engine/kernels/open-kernels.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { Forward } from '../../../worker/model/forward.ts';
import { ModelCache } from '../../../worker/model/model-cache.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { TuningStates } from '../../../worker/tuning/tuning-states.ts';
import { bindingWith } from '../../support/binding-with.ts';
import { testBinding, testKernels, testPlan } from '../../support/engine.ts';
import { patchSource, randomPatch } from './patches.ts';
import { halfMasks, LAYERS, randomSamples, tinyModel } from './tiny-model.ts';

/** Inputs that a GPU's kernels read on the GPU, by operation: int32 ones from the host would be copied there, with a wait. */
const DEVICE_INPUTS: Readonly<Record<string, number>> = { GatherV2: 1, OneHot: 0, Bitcast: 0, Cast: 0 };

function countingContext() {
  const binding = testBinding();
  const counts = { up: 0, down: 0 };
  const onHost = new Set<number>();
  const counting = bindingWith(binding, {
    createTensor(shape, dtype, data) {
      counts.up += 1;
      const id = binding.createTensor(shape, dtype, data);
      if (dtype === INT32) onHost.add(id);
      return id;
    },
    executeOp(name, attributes, inputs, outputs) {
      const at = DEVICE_INPUTS[name];
      assert.ok(at === undefined || !onHost.has(inputs[at]), `${name} reads int32 from the host`);
      return binding.executeOp(name, attributes, inputs, outputs);
    },
    deleteTensor(id) {
      onHost.delete(id);
      binding.deleteTensor(id);
    },
    tensorDataSync(id) {
      counts.down += 1;
      return binding.tensorDataSync(id);
    },
  });
  const engine = new Engine(counting);
  const ops = new Ops(engine);
  const forward = new Forward(ops, openKernels(ops, testKernels()).kernels);
  const context: TaskContext = {
    ...{ engine, ops, forward },
    models: new ModelCache(ops),
    states: new TuningStates(forward, 0),
    checkCancelled() {},
  };
  return { context, counts };
}

for (const head of ['SequenceClassification', 'TokenClassification', 'QuestionAnswering'] as const)
  test(`${head}: a shard goes up once, a task's results come down once`, async (t) => {
    const { config, model } = await tinyModel(t, 'Bert', head);
    const samples = randomSamples(config, [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6]);
    const plan = testPlan(samples, { groupSize: 2, tokensPerBatch: 24, tokensPerShard: 30 });
    const { length } = plan.shards;
    assert.ok(length > 2 && plan.shards.every(({ batches }) => batches.length > 1), 'micro-batches');
    const { context, counts } = countingContext();
    const shards = { first: 0, end: length };
    const transfers = async (run: () => Promise<unknown>) => {
      // The model, and constants.
      await run();
      Object.assign(counts, { up: 0, down: 0 });
      await run();
      return { ...counts };
    };
    const fisher = (gram: boolean) => transfers(() => runFisher(context, { model, plan, shards, gram }));
    assert.deepEqual(await fisher(false), { up: length, down: 2 }, 'rows and losses');
    // A layer's Gram at a time, beside the places of a triangle for each kind.
    assert.deepEqual(await fisher(true), { up: length + 2, down: 1 + 2 * LAYERS }, 'Grams and losses');
    const masks = halfMasks('student');
    const patches = [patchSource(randomPatch(config, masks, 1, 'ffn'))];
    const gradients = await transfers(() =>
      runGradients(context, { model, plan, shards, student: { masks, patches } }),
    );
    assert.deepEqual(gradients, { up: length, down: 2 }, 'importance with losses, and token gradients');
    const outputs = await transfers(() => runEvaluate(context, { model, plan, shards, student: null }));
    assert.deepEqual(outputs, { up: length, down: length }, 'outputs');
    context.models.clear();
  });
