// Hidden states on their way from one worker to another: the sums that start from them are, bit for bit, those that start
// from the embeddings, and states of anything else are refused.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import type { SubLayer } from '../../../pruning/masks.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { runActivations } from '../../../worker/tasks/activations.ts';
import { runNormalEquations } from '../../../worker/tasks/normal-equations.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { Desk } from './request-desk.ts';
import { assertSameBits, tensorOf } from './results.ts';
import { halfMasks, LAYERS, randomSamples, temporaryFolder, tinyModel, withRandomScales } from './tiny-model.ts';

const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6, 6, 2, 10, 10, 3, 7, 12, 1, 4, 9, 8];
const STEPS = Array.from({ length: LAYERS }, (_, layer): [number, SubLayer][] => [
  [layer, 'attention'],
  [layer, 'ffn'],
]).flat();

async function setting(t: test.TestContext, head: 'SequenceClassification' | 'QuestionAnswering') {
  const { config, model } = await tinyModel(t, 'Bert', head);
  const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 22 });
  const tuning = { model, plan, planDigest: head, teacher: halfMasks('teacher') };
  const folder = await temporaryFolder(t);
  const store = async (tensors: readonly NamedTensor[]) => {
    const file = path.join(folder, 'states.safetensors');
    await writeFile(file, encodeSafetensors(tensors));
    return file;
  };
  return { tuning: { ...tuning, student: withRandomScales(halfMasks('student')) }, plan, store };
}

/** With a context of its own: a worker that has seen nothing. */
async function fresh<T>(use: (context: TaskContext) => Promise<T>, stateBytes?: number): Promise<T> {
  const context = testContext(stateBytes === undefined ? {} : { stateBytes });
  try {
    return await use(context);
  } finally {
    context.states.clear();
    context.models.clear();
  }
}

for (const head of ['SequenceClassification', 'QuestionAnswering'] as const)
  test(`${head}: sums from states of another worker have the bits of sums from the embeddings`, async (t) => {
    const { tuning, plan, store } = await setting(t, head);
    for (const shards of [
      { first: 0, end: plan.shards.length },
      { first: 2, end: 4 },
    ])
      for (const [layer, subLayer] of STEPS) {
        const input = { ...tuning, layer, subLayer, shards };
        const expected = await fresh((context) => runNormalEquations(context, input));
        const computed = await fresh((context) => runActivations(context, input));
        const kept = await fresh(async (context) => {
          await runNormalEquations(context, { ...input, layer: 0, subLayer: 'attention' });
          if (layer > 0) await runNormalEquations(context, { ...input, layer: layer - 1, subLayer: 'ffn' });
          const first = await runActivations(context, input);
          assertSameBits(await runNormalEquations(context, input), expected, 'the states stay where they were');
          assertSameBits(await runActivations(context, input), first, 'with what summing left');
          return first;
        });
        assertSameBits(kept, computed, `${layer}.${subLayer}: states that were kept`);
        const statesPath = await store(kept);
        for (const stateBytes of [1e9, 0])
          await fresh(async (context) => {
            const sums = await runNormalEquations(context, { ...input, statesPath });
            assertSameBits(sums, expected, `${layer}.${subLayer}: ${stateBytes} bytes for states`);
            const next = { ...input, layer: Math.min(layer + 1, LAYERS - 1), subLayer: 'ffn' } as const;
            const after = await fresh((other) => runNormalEquations(other, next));
            assertSameBits(await runNormalEquations(context, next), after, 'and the sub-layers after it');
          }, stateBytes);
      }
  });

test('states have a pair of tensors for each micro-batch, in plan order', async (t) => {
  const { tuning, plan } = await setting(t, 'SequenceClassification');
  const shards = { first: 1, end: 4 };
  const tensors = await fresh((context) => runActivations(context, { ...tuning, layer: 1, subLayer: 'ffn', shards }));
  const batches = plan.shards.slice(1, 4).flatMap((shard) => shard.batches);
  assert.equal(tensors.length, 1 + 2 * batches.length);
  batches.forEach(({ members }, i) => {
    const positions = members.reduce((sum, member) => sum + plan.samples[member].tokenIds.length, 0);
    for (const side of ['teacher', 'student'])
      assert.deepEqual(tensorOf(tensors, `${side}.${i}`).shape, [positions, 24], 'without padding');
  });
  assert.notDeepEqual(tensorOf(tensors, 'teacher.0').data, tensorOf(tensors, 'student.0').data);
});

test('states of anything else are refused, and none are used where the worker has its own', async (t) => {
  const { tuning, plan, store } = await setting(t, 'SequenceClassification');
  const shards = { first: 0, end: 3 };
  const input = { ...tuning, layer: 1, subLayer: 'ffn', shards } as const;
  const expected = await fresh((context) => runNormalEquations(context, input));
  const good = await fresh((context) => runActivations(context, input));
  const changed = (name: string, change: (tensor: NamedTensor) => NamedTensor) =>
    good.map((tensor) => (tensor.name === name ? change(tensor) : tensor));
  const other = /^states: got those of another sub-layer, student, plan or range$/;
  const spoilt: [string, readonly NamedTensor[], RegExp][] = [
    ['no key', good.slice(1), other],
    ['half a pair', good.slice(0, -1), /^states: got \d+ tensors, expected \d+$/],
    [
      'a name twice removed',
      changed('teacher.1', (tensor) => ({ ...tensor, name: 'teacher.99' })),
      /^states: teacher\.1: got nothing, expected F32 \[\d+,24\]$/,
    ],
    [
      'a transposed tensor',
      changed('student.0', (tensor) => ({ ...tensor, shape: [...tensor.shape].reverse() })),
      /^states: student\.0: got F32 \[24,\d+\], expected/,
    ],
    [
      'a number that is none',
      changed('student.2', (tensor) => {
        const data = Float32Array.from(tensor.data as Float32Array);
        data[5] = Number.NaN;
        return { ...tensor, data };
      }),
      /^states: student\.2 5: got NaN, expected a finite number$/,
    ],
  ];
  const refused = (statesPath: string, message: RegExp, what: string) =>
    fresh(async (context) => {
      const before = context.engine.tensorCount;
      await assert.rejects(runNormalEquations(context, { ...input, statesPath }), { code: 'protocol', message }, what);
      context.states.clear();
      context.models.clear();
      assert.ok(context.engine.tensorCount <= before + 64, `${what}: nothing but constants is left`);
    });
  for (const [what, tensors, message] of spoilt) await refused(await store(tensors), message, what);
  const [text] = [await store([])];
  await writeFile(text, 'no safetensors file');
  await refused(text, /^states: got/, 'another file');

  const others = {
    'another sub-layer': { ...input, subLayer: 'attention' },
    'another student': { ...input, student: halfMasks('another') },
    'another teacher': { ...input, teacher: halfMasks('another') },
    'another plan': { ...input, planDigest: 'another' },
    'another range': { ...input, shards: { first: 1, end: 4 } },
  } as const;
  assert.ok(plan.shards.length >= 4);
  for (const [what, made] of Object.entries(others))
    await refused(await store(await fresh((context) => runActivations(context, made))), other, what);

  // Its own states come first: numbers of another, whatever they are, change nothing.
  const wrong = await store(
    changed('student.0', (tensor) => ({ ...tensor, data: new Float32Array(tensor.data.length) })),
  );
  await fresh(async (context) => {
    await runNormalEquations(context, input);
    assertSameBits(await runNormalEquations(context, { ...input, statesPath: wrong }), expected, 'own states');
  });
});

test('a request for activations, and one for sums with states', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const request = desk.normalEquations();
  const { states: _, ...rest } = request.normalEquations!;
  const activations = { ...rest, heldOnly: false };
  const found = await desk.run({ taskId: 'activations', task: 'activations', activations });
  const states = await desk.put(encodeSafetensors(found));
  assertSameBits(await desk.run(desk.normalEquations({ states })), await desk.run(request), 'the same sums');
  await desk.refuses({ taskId: 'x', task: 'activations', activations: null }, /^activations: got nothing/);
  await desk.refuses(desk.normalEquations({ states: { digest: 'a'.repeat(64), sizeBytes: 1 } }), /^blob a{64}: got/);
});

test('a solve from states of another worker, of all of its shards or of some', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const given = async (first: number, end: number) => {
    const { states: _, ...rest } = desk.normalEquations({ shards: { first, end } }).normalEquations!;
    const found = await desk.run({ taskId: 'a', task: 'activations', activations: { ...rest, heldOnly: false } });
    return { shards: { first, end }, blob: await desk.put(encodeSafetensors(found)) };
  };
  const expected = await desk.run(desk.solve());
  const [first, second] = [await given(0, 1), await given(1, 2)];
  for (const states of [[first, second], [second], [await given(0, 2)], [second, first, second]]) {
    desk.forget();
    assertSameBits(await desk.run(desk.solve({ states })), expected, `${states.length} parts`);
  }
  desk.forget();
  const swapped = [{ shards: first.shards, blob: second.blob }];
  await desk.refuses(desk.solve({ states: swapped }), /^states: got those of another sub-layer/);
  await desk.refuses(desk.solve({ states: [{ shards: first.shards, blob: null }] }), /^states: got nothing/);
  await desk.refuses(desk.solve({ states: [{ shards: { first: 1, end: 3 }, blob: first.blob }] }), /shards/);
  await desk.refuses(desk.solve({ states: new Array(257).fill(first) }), /^states: got 257, expected 0 to 256$/);
});

test('where only states that are kept are asked for, none are computed', async (t) => {
  const { tuning, plan } = await setting(t, 'SequenceClassification');
  const input = { ...tuning, layer: 1, subLayer: 'ffn' as const, shards: { first: 0, end: plan.shards.length } };
  const { first } = input.shards;
  await fresh(async (context) => {
    const ask = (more = {}) => runActivations(context, { ...input, ...more }, { heldOnly: true });
    const refused = (more: object, what: string) =>
      assert.rejects(ask(more), { code: 'worker_unavailable', message: /whose states are not kept here$/ }, what);
    await refused({}, 'nothing was computed yet');
    await runNormalEquations(context, { ...input, layer: 0, shards: { first, end: 3 } });
    await refused({}, 'some are missing');
    await refused({ student: halfMasks('teacher'), shards: { first, end: 3 } }, 'of another student');
    const found = await ask({ shards: { first, end: 3 } });
    const computed = await fresh((other) => runActivations(other, { ...input, shards: { first, end: 3 } }));
    assertSameBits(found, computed, 'those that are kept');
    await refused({ layer: 0, shards: { first, end: 3 } }, 'they have gone on');
  });
});
