// Students with refitted output projections: the same bits as a checkpoint that has these weights, one copy of what they share,
// and nothing left behind.
import assert from 'node:assert/strict';
import test from 'node:test';
import { denseMasks, type Masks, type SubLayer } from '../../../pruning/masks.ts';
import type { Patch } from '../../../pruning/patch.ts';
import type { DeviceTensor } from '../../../worker/engine/engine.ts';
import type { EncoderWeights } from '../../../worker/model/encoder-weights.ts';
import { engineRuntime } from '../../../worker/runtimes/engine.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runLatency } from '../../../worker/tasks/latency.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { patchedModel, patchSource, randomPatch } from './patches.ts';
import { assertSameBits, largestDifference, numbers } from './results.ts';
import {
  HEADS,
  halfMasks,
  keeping,
  LAYERS,
  NEURONS,
  randomSamples,
  tinyModel,
  withRandomScales,
} from './tiny-model.ts';

const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6];
const N = Array.from({ length: NEURONS }, (_, i) => i);

const STUDENTS: Readonly<Record<string, Masks>> = {
  'half of everything': halfMasks('student'),
  'all of it': denseMasks(LAYERS, HEADS, NEURONS),
  'a layer without heads, one without neurons': keeping([[1], [], [0, 2]], [[], N, [3, 7]]),
  'scaled halves': withRandomScales(halfMasks('student')),
};

/** Patches of every sub-layer but one, some fitted where more was kept. */
function somePatches(config: Parameters<typeof randomPatch>[0], masks: Masks): Patch[] {
  const wider = denseMasks(LAYERS, HEADS, NEURONS);
  const places: [number, SubLayer, Masks][] = [
    [0, 'attention', wider],
    [0, 'ffn', masks],
    [1, 'attention', masks],
    [1, 'ffn', wider],
    [2, 'ffn', masks],
  ];
  const outputs = places.map(([layer, subLayer, fitted]) => randomPatch(config, fitted, layer, subLayer));
  return [...outputs, ...inputPatches(config, masks)];
}

/** Of queries, keys and values fitted where more was kept, and of an FFN's first projection; of those that are left. */
function inputPatches(config: Parameters<typeof randomPatch>[0], masks: Masks): Patch[] {
  const wider = denseMasks(LAYERS, HEADS, NEURONS);
  const inputs = [
    randomPatch(config, wider, 1, 'attention', '', 'input'),
    randomPatch(config, masks, 2, 'ffn', '', 'input'),
  ];
  return inputs.filter(({ kept }) => kept.length > 0);
}

for (const [what, masks] of Object.entries(STUDENTS))
  test(`${what}: outputs are those of a checkpoint with the patches' weights`, async (t) => {
    for (const [architecture, head, activation] of [
      ['Bert', 'SequenceClassification', 'gelu'],
      ['DistilBert', 'QuestionAnswering', 'relu'],
      ['Roberta', 'SequenceClassification', 'gelu_new'],
    ] as const) {
      const tiny = await tinyModel(t, architecture, head, { activation });
      const { config, model } = tiny;
      const plan = testPlan(randomSamples(config, LENGTHS), { tokensPerBatch: 24, tokensPerShard: 30 });
      const shards = { first: 0, end: plan.shards.length };
      const patches = somePatches(config, masks);
      const context = testContext();
      const outputs = (own: typeof model, told: readonly Patch[]) =>
        runEvaluate(context, { model: own, plan, shards, student: { masks, patches: told.map(patchSource) } });
      const got = await outputs(model, patches);
      const { model: patched } = await patchedModel(t, tiny, patches);
      assertSameBits(got, await outputs(patched, []), architecture);
      // The order in which they are told of means nothing.
      assertSameBits(await outputs(model, patches.toReversed()), got, `${architecture}, backwards`);
      const unpatched = numbers(await outputs(model, []), 'logits');
      assert.ok(largestDifference(unpatched, numbers(got, 'logits')) > 1e-2, 'patches change something');
      context.models.clear();
    }
  });

test('students that differ in a few patches share everything else, and a patch is read once', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const context = testContext();
  const { engine, models } = context;
  t.after(() => models.clear());
  const masks = halfMasks('student');
  const base = await models.pruned(model, masks);
  const before = engine.tensorCount;
  const sources = somePatches(config, masks).map(patchSource);
  for (let count = 1; count <= sources.length; count++) {
    const student = await models.student(model, masks, sources.slice(0, count));
    // A projection and a bias each, and the patch that they were cut out of.
    assert.equal(engine.tensorCount, before + 4 * count);
    const own = tensorsOf(student).filter((tensor) => !tensorsOf(base).includes(tensor));
    assert.equal(own.length, 2 * count);
  }
  assert.deepEqual(
    sources.map(({ reads }) => reads),
    sources.map(() => 1),
  );
  // One that is fitted anew takes its place, on the device as well.
  const refitted = patchSource(randomPatch(config, masks, 1, 'ffn', 'again'));
  const old = await models.student(model, masks, sources);
  const now = await models.student(model, masks, sources.with(3, refitted));
  assert.notEqual(now.layers[1].ffnOut, old.layers[1].ffnOut);
  assert.equal(now.layers[1].attentionOutput, old.layers[1].attentionOutput);
  assert.equal(engine.tensorCount, before + 4 * sources.length);
  // The model without patches is as it was.
  assert.deepEqual(await models.student(model, masks, []), base);
  assert.equal(engine.tensorCount, before + 4 * sources.length);
});

test('a patch that is on the device is cut there for the masks of later students, with the bits of one that is read', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const [context, fresh] = [testContext(), testContext()];
  t.after(() => context.models.clear());
  const patches = somePatches(config, denseMasks(LAYERS, HEADS, NEURONS));
  const sources = patches.map(patchSource);
  for (const masks of Object.values(STUDENTS)) {
    const student = await context.models.student(model, masks, sources);
    const alone = await fresh.models.student(model, masks, patches.map(patchSource));
    const values = (weights: EncoderWeights) => tensorsOf(weights).map((own) => fresh.engine.downloadFloat32(own));
    assert.deepEqual(values(student), values(alone));
    fresh.models.clear();
  }
  assert.ok(sources.every(({ reads }) => reads === 1));
});

test('patches go with the model under their masks, and with the cache', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const context = testContext();
  const { engine, models } = context;
  const load = async (name: string) => {
    const masks = halfMasks(name);
    await models.student(model, masks, somePatches(config, masks).map(patchSource));
  };
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  // Constants stay.
  for (const name of names) await load(name);
  models.clear();
  const before = engine.tensorCount;
  await models.dense(model);
  const dense = engine.tensorCount;
  for (const name of names.slice(1)) await load(name);
  const four = engine.tensorCount;
  await load(names[0]);
  assert.equal(engine.tensorCount, four, 'the oldest went for the newest');
  assert.ok(four > dense);
  models.clear();
  assert.equal(engine.tensorCount, before);
});

test('masks that keep what a patch lacks are refused, and what was on the device stays', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const context = testContext();
  t.after(() => context.models.clear());
  const masks = halfMasks('student');
  const narrow = keeping([[], [], []], [[2], [], []]);
  const good = patchSource(randomPatch(config, masks, 0, 'ffn'));
  const student = await context.models.student(model, masks, [good]);
  const before = context.engine.tensorCount;
  const bad = patchSource(randomPatch(config, narrow, 0, 'ffn'));
  await assert.rejects(context.models.student(model, masks, [bad]), {
    code: 'protocol',
    message: /^patch of layer 0 ffn: got masks that keep \d+, expected one of the 1 that it was fitted for$/,
  });
  assert.equal(context.engine.tensorCount, before);
  const after = await context.models.student(model, masks, [good]);
  assert.equal(after.layers[0].ffnOut, student.layers[0].ffnOut);
  assert.equal(good.reads, 1);
});

test('timed students have their patches, each a form of its own that leaves nothing', async (t) => {
  const tiny = await tinyModel(t, 'Bert', 'SequenceClassification');
  const { config, model } = tiny;
  const masks = halfMasks('student');
  const patches = somePatches(config, masks);
  const { model: patched } = await patchedModel(t, tiny, patches);
  const context = testContext();
  const { engine, models } = context;
  t.after(() => models.clear());
  const shape = { batchSize: 3, tokens: 5 };
  const logits = async (own: typeof model, told: readonly Patch[]) => {
    const student = { masks, patches: told.map(patchSource) };
    const timed = await engineRuntime(context, own).open({ model: own, student }, shape);
    try {
      return await timed.pass();
    } finally {
      await timed.close();
    }
  };
  assert.deepEqual(await logits(model, patches), await logits(patched, []));
  const students = [patches, patches.slice(2), []].map((told) => ({ masks, patches: told.map(patchSource) }));
  const options = { ...shape, repeats: 1, leastSeconds: 0, threads: 0, runtime: 'engine' } as const;
  const time = () => runLatency(context, { model, students, models: [], ...options });
  // Constants stay.
  await time();
  const before = engine.tensorCount;
  const [seconds] = await time();
  assert.deepEqual([...seconds.shape], [3, 1]);
  assert.equal(engine.tensorCount, before);
});

function tensorsOf(weights: EncoderWeights): DeviceTensor[] {
  const { layers } = weights;
  const all = layers.flatMap((layer) => [
    layer.attentionOutput,
    layer.attentionBias,
    layer.ffnOut,
    layer.ffnBias,
    ...[layer.attentionIn, layer.ffnIn].flatMap((linear) => (linear === null ? [] : [linear.kernel, linear.bias])),
  ]);
  return [...all, weights.words, weights.headOutput.kernel].filter((tensor) => tensor !== null);
}
