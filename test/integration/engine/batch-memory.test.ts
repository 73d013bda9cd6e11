// What plans are cut by, against the most that TensorFlow's allocator had in use: no less, and not far more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Pass, tokenBytes } from '../../../dataset/batch-memory.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { writeSyntheticModel } from '../../bench/synthetic-model.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { randomSamples, temporaryFolder } from './tiny-model.ts';

const MODEL = { layers: 3, hiddenSize: 128, heads: 4, neurons: 512, head: 'QuestionAnswering' } as const;
const SHORT = { count: 16, tokens: 32 };
const LONG = { count: 6, tokens: 256 };

test('a padded token takes no more than is said, and more than half of it', async (t) => {
  const folder = await temporaryFolder(t);
  await writeSyntheticModel(folder, MODEL, 1);
  const model = await localModel(folder);
  // The peak is that of the process: each run has a higher one than those before.
  for (const kernels of ['fused', 'plain'] as const)
    for (const { count, tokens } of [SHORT, LONG]) {
      const context = testContext({ kernels: kernels === 'fused' ? 'auto' : 'plain' });
      if (context.forward.kernels.kind !== kernels) continue;
      const { config } = await context.models.dense(model);
      // One sample is shorter: with padding there is a mask to add.
      const samples = randomSamples(config, [tokens - 1, ...new Array(count - 1).fill(tokens)]);
      const plan = testPlan(samples, { tokensPerBatch: count * tokens, tokensPerShard: 1e9, heldOut: 0 });
      assert.equal(plan.shards[0].batches.length, 1);
      const shards = { first: 0, end: 1 };
      const runs: [Pass, () => Promise<unknown>][] = [
        ['forward', () => runEvaluate(context, { model, plan, shards, student: null })],
        ['gradients', () => runFisher(context, { model, plan, shards, gram: false })],
      ];
      for (const [pass, run] of runs) {
        const taken = await peakOf(context, run);
        if (taken === null) continue;
        const said = count * tokens * tokenBytes(config, kernels, pass, tokens);
        const text = `${kernels} ${pass} of ${tokens} tokens: ${taken} bytes, said ${said}`;
        t.diagnostic(text);
        assert.ok(taken <= said, text);
        if (pass === 'gradients') assert.ok(taken > said / 2, text);
      }
      context.models.clear();
    }
});

/** Bytes beyond what is in use before; null where an earlier run had a higher peak. */
async function peakOf({ engine }: TaskContext, run: () => Promise<unknown>): Promise<number | null> {
  const before = engine.binding.deviceMemory();
  await run();
  const { peakBytes } = engine.binding.deviceMemory();
  return peakBytes! > before.peakBytes! ? peakBytes! - before.usedBytes! : null;
}
