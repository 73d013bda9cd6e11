// The engine against transformers: logits, losses and per-sample mask gradients of eleven architectures and heads. The
// fixtures were computed in float64; the engine works in float32, so agreement is relative 2e-5 of the largest value
// (gradients sum a few hundred products of rounding 6e-8 each, through two layers). With TF32 that rounding is 5e-4: 1e-2, and
// 0.15 for gradients (oracle.test.ts says why).
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { engineUnderTest, tolerance } from '../../support/engine-under-test.ts';
import { assertWithin, largestGap, numbers } from './results.ts';

interface Expected {
  inputs: { input_ids: number[][]; attention_mask: number[][]; token_type_ids: number[][] };
  logits?: number[][];
  start_logits?: number[][];
  end_logits?: number[][];
  labels?: number[] | number[][];
  start_positions?: number[];
  end_positions?: number[];
  losses: number[];
  head_mask_gradients: number[][][];
  neuron_mask_gradients: number[][][];
}

const TOLERANCE = tolerance({ float32: 2e-5, tf32: 1e-2 });
const GRADIENTS = tolerance({ float32: TOLERANCE, tf32: 0.15 });
const fixtures = path.join(projectRoot(), 'test/fixtures');

const { kernels: chosen } = engineUnderTest();
const KERNELS = chosen === null ? (['plain', 'auto'] as const) : [chosen];
const CASES = readdirSync(fixtures)
  .filter((entry) => entry.startsWith('hf-'))
  .sort()
  .flatMap((name) => KERNELS.map((kernels) => ({ name, kernels })));

for (const { name, kernels } of CASES) {
  test(`${name} agrees with transformers, kernels ${kernels}`, async () => {
    const folder = path.join(fixtures, name);
    const expected = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Expected;
    const context = testContext({ kernels });
    const before = context.engine.tensorCount;
    const model = await localModel(folder);
    const samples = samplesOf(expected);
    const plan = testPlan(samples);
    const shards = { first: 0, end: plan.shards.length };

    const outputs = await runEvaluate(context, { model, plan, shards, student: null });
    assertWithin(largestGap(numbers(outputs, 'logits'), expectedLogits(expected, samples)), TOLERANCE, 'logits');

    const tensors = await runFisher(context, { model, plan, shards, gram: false });
    const losses = numbers(tensors, 'losses');
    const rows = numbers(tensors, 'rows');
    // transformers leaves padded positions in the loss of question answering, so only unpadded samples are comparable there.
    const width = rows.length / samples.length;
    const full = samples.flatMap(({ tokenIds }, i) =>
      expected.logits || tokenIds.length === expected.inputs.input_ids[i].length ? [i] : [],
    );
    assert.ok(full.length > 0);
    assertWithin(
      largestGap(
        full.map((i) => losses[i]),
        full.map((i) => expected.losses[i]),
      ),
      TOLERANCE,
      'losses',
    );
    const gradients = full.flatMap((i) => [
      ...expected.head_mask_gradients[i].flat(),
      ...expected.neuron_mask_gradients[i].flat(),
    ]);
    assertWithin(
      largestGap(
        full.flatMap((i) => rows.slice(i * width, (i + 1) * width)),
        gradients,
      ),
      GRADIENTS,
      'rows',
    );

    context.models.clear();
    assert.ok(context.engine.tensorCount - before < 200, 'only cached constants stay');
  });
}

function samplesOf({ inputs, labels, start_positions, end_positions }: Expected): EncodedSample[] {
  return inputs.input_ids.map((ids, i) => {
    const length = inputs.attention_mask[i].reduce((sum, bit) => sum + bit, 0);
    const label = labels?.[i];
    const target = label === undefined ? [start_positions?.[i] ?? 0, end_positions?.[i] ?? 0] : [label].flat();
    return {
      tokenIds: Int32Array.from(ids.slice(0, length)),
      typeIds: Uint8Array.from(inputs.token_type_ids[i].slice(0, length)),
      target: Float32Array.from(target),
    };
  });
}

function expectedLogits(expected: Expected, samples: readonly EncodedSample[]): number[] {
  if (expected.logits) return expected.logits.flat();
  return samples.flatMap(({ tokenIds }, i) =>
    Array.from(tokenIds, (_, t) => [
      expected.start_logits?.[i][t] ?? Number.NaN,
      expected.end_logits?.[i][t] ?? Number.NaN,
    ]).flat(),
  );
}
