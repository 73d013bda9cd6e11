// What tasks take of the device beside what plans are cut by.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { type Pass, tokenBytes } from '../../../dataset/batch-memory.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { type SyntheticModel, writeSyntheticModel } from '../../bench/synthetic-model.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { randomSamples, temporaryFolder } from './tiny-model.ts';

export interface Measured {
  readonly text: string;
  readonly pass: Pass;
  /** Bytes that were in use at once beyond those before. */
  readonly taken: number;
  readonly said: number;
}

/** Runs one micro-batch of each shape through both passes, with fused kernels where they are there, then with plain ones. The
 * allocator's peak is that of the process: only runs with a higher one than those before are told.
 * @param shapes samples and their length, those that take least first. */
export async function measureTokens(
  t: TestContext,
  sizes: SyntheticModel,
  shapes: readonly { readonly count: number; readonly tokens: number }[],
): Promise<Measured[]> {
  const folder = await temporaryFolder(t);
  await writeSyntheticModel(folder, sizes, 1);
  const model = await localModel(folder);
  const found: Measured[] = [];
  for (const kernels of ['fused', 'plain'] as const)
    for (const { count, tokens } of shapes) {
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
        const said = count * tokens * tokenBytes(config, kernels, pass, tokens);
        const text = `${kernels} ${pass}, ${count} samples of ${tokens} tokens: ${taken} bytes, said ${said}`;
        if (taken !== null) found.push({ text, pass, taken, said });
      }
      context.models.clear();
    }
  return found;
}

/** Bytes beyond what is in use before; null where an earlier run had a higher peak. */
async function peakOf({ engine }: TaskContext, run: () => Promise<unknown>): Promise<number | null> {
  const before = engine.binding.deviceMemory();
  await run();
  const { peakBytes } = engine.binding.deviceMemory();
  return peakBytes! > before.peakBytes! ? peakBytes! - before.usedBytes! : null;
}
