// What is timed computes the same in both runtimes: a model as it is, under masks, with patches, and written pruned.
import assert from 'node:assert/strict';
import test from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { engineRuntime } from '../../../worker/runtimes/engine.ts';
import { onnxRuntime } from '../../../worker/runtimes/onnxruntime.ts';
import type { Runtime, TimedSource } from '../../../worker/runtimes/runtime.ts';
import { localModel, testContext } from '../../support/engine.ts';
import { patchSource, randomPatch } from './patches.ts';
import { halfMasks, temporaryFolder, tinyModel } from './tiny-model.ts';

const SHAPE = { batchSize: 3, tokens: 5 };

async function logits(runtime: Runtime, source: TimedSource): Promise<Float32Array> {
  const model = await runtime.open(source, SHAPE);
  try {
    return await model.pass();
  } finally {
    await model.close();
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

for (const [architecture, head] of [
  ['Bert', 'SequenceClassification'],
  ['DistilBert', 'SequenceClassification'],
  ['Roberta', 'TokenClassification'],
] as const)
  test(`${architecture}For${head}: equal logits in the engine and in ONNX Runtime`, async (t) => {
    const { folder, model, config } = await tinyModel(t, architecture, head);
    const masks = halfMasks('student');
    const prunedFolder = await temporaryFolder(t);
    const dense = await openCheckpoint(folder);
    await writePrunedCheckpoint(dense, masks, 'F32', prunedFolder);
    await dense.close();
    const pruned = await localModel(prunedFolder);

    const context = testContext();
    t.after(() => context.models.clear());
    const runtimes = [engineRuntime(context, model), await onnxRuntime({ threads: 1, checkCancelled() {} })];
    const whole = await Promise.all(runtimes.map((runtime) => logits(runtime, { model, student: null })));
    const small = await Promise.all(runtimes.map((runtime) => logits(runtime, { model: pruned, student: null })));
    const masked = await Promise.all(
      runtimes.map((runtime) => logits(runtime, { model, student: { masks, patches: [] } })),
    );
    const patches = [randomPatch(config, masks, 1, 'attention'), randomPatch(config, masks, 2, 'ffn')];
    const student = { masks, patches: patches.map(patchSource) };
    const patched = await Promise.all(runtimes.map((runtime) => logits(runtime, { model, student })));
    // Sums of float32 in another order: logits of these models are below 10.
    for (const [a, b] of [whole, small, masked, patched, [small[0], masked[0]]])
      assert.ok(largestDifference(a, b) < 1e-4);
    assert.ok(largestDifference(whole[0], small[0]) > 1e-3, 'pruning changes something');
    assert.ok(largestDifference(masked[0], patched[0]) > 1e-3, 'so do patches');
  });
