// An engine that warms up: which it does on a GPU alone, unless it is told what with.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../../shared/errors.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { parseWorkerConfig } from '../../../worker/config.ts';
import { createEngineExecutor, type EngineOptions, warmUpOf } from '../../../worker/engine-executor.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { warmUp } from '../../../worker/tasks/warm-up.ts';
import { USUAL_WARM_UP, WARM_UP_PARTS, type WarmUpSizes } from '../../../worker/tasks/warm-up-parts.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { numbers } from './results.ts';
import { randomSamples, tinyModel } from './tiny-model.ts';

const SIZES: WarmUpSizes = {
  ...{ layers: 2, hiddenSize: 16, heads: 4, neurons: 24 },
  ...{ samples: 16, tokens: 12, tokensPerBatch: 48 },
};
/** Heads that do not divide the width: no such model can be made up. */
const IMPOSSIBLE: WarmUpSizes = { ...SIZES, heads: 5 };
const REQUEST = { taskId: 'nothing', task: 'fisher', fisher: { model: null } } as unknown as RunRequest;

test('every part runs its tasks and leaves nothing: neither on the device nor in the caches of tasks', async () => {
  const context = testContext();
  // What is the engine's own (shapes, factors) is made in the first round.
  for (const part of WARM_UP_PARTS) await warmUp(context, part, SIZES);
  const before = context.engine.tensorCount;
  for (const part of WARM_UP_PARTS) {
    await warmUp(context, part, SIZES);
    assert.equal(context.engine.tensorCount, before, part);
  }
  assert.deepEqual(context.models.digests(), []);
});

test('a task gives the same bits before and after it', async (t) => {
  const context = testContext();
  const { model, config } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const plan = testPlan(randomSamples(config, [12, 5, 7, 9]));
  const logits = async () => {
    const shards = { first: 0, end: plan.shards.length };
    return numbers(await runEvaluate(context, { model, plan, shards, student: null }), 'logits');
  };
  const before = await logits();
  for (const part of WARM_UP_PARTS) await warmUp(context, part, SIZES);
  context.models.clear();
  assert.deepEqual(await logits(), before);
});

test('a part that nobody waits for any more ends between two layers', async () => {
  for (const part of WARM_UP_PARTS) {
    let left = 5;
    const checkCancelled = () => {
      if (left-- === 0) throw new EspalierError('cancelled', 'a task came');
    };
    const context = { ...testContext(), checkCancelled };
    const before = context.engine.tensorCount;
    await assert.rejects(warmUp(context, part, SIZES), { code: 'cancelled' }, part);
    assert.equal(context.engine.tensorCount, before, part);
  }
});

test('of the usual sizes every shard has several micro-batches, and every product is of BERT-base’s width', () => {
  const { hiddenSize, heads, neurons, samples, tokens, tokensPerBatch } = USUAL_WARM_UP;
  assert.deepEqual([hiddenSize, heads, neurons], [768, 12, 3072]);
  // Half of the samples a shard, of half the longest length on average.
  assert.ok((samples / 2) * (tokens / 2) >= tokensPerBatch);
});

test('it is for GPUs alone, and not for small ones', () => {
  assert.equal(warmUpOf('gpu', 8e10), USUAL_WARM_UP);
  assert.equal(warmUpOf('gpu', 2e9), null);
  assert.equal(warmUpOf('cpu', 8e10), null);
});

async function executor(t: TestContext, options: EngineOptions) {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-warm-up-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const command = parseWorkerConfig(['--device=cpu', '--memory-gb=1', '--blob-dir', folder], {});
  assert.ok(command.kind === 'serve');
  const blobs = await BlobStore.open(folder, { limitBytes: 1e6 });
  const created = await createEngineExecutor(command.config, blobs, options);
  t.after(() => created.close());
  return created;
}

test('an engine that warms up answers tasks', async (t) => {
  const failures: EspalierError[] = [];
  const warm = await executor(t, { warmUp: SIZES, onWarmUpFailure: (error) => failures.push(error) });
  const { signal } = new AbortController();
  await assert.rejects(warm.run(REQUEST, signal), { code: 'protocol', message: /^nothing: model: got nothing/ });
  assert.deepEqual(warm.models(), []);
  assert.deepEqual(failures, []);
});

test('one whose warm-up fails tells so once, and answers tasks', async (t) => {
  const failures: EspalierError[] = [];
  const cold = await executor(t, { warmUp: IMPOSSIBLE, onWarmUpFailure: (error) => failures.push(error) });
  const { signal } = new AbortController();
  for (let time = 0; time < 2; time++)
    await assert.rejects(cold.run(REQUEST, signal), { code: 'protocol', message: /^nothing: model: got nothing/ });
  assert.equal(failures.length, 1);
  assert.match(failures[0].message, /^warm-up of fisher: made-up model: /);
});
