// Refits of input projections on the engine against direct weighted least squares of the float64 reference encoder's states, with
// refitted inputs and outputs before them; the same bits from the parts of any cut; and what is refused. Tolerances as of
// refit-cases.ts: the widths here are larger than the number of weights that a float32 state moves.
import assert from 'node:assert/strict';
import test from 'node:test';
import { cutTree, foldCut } from '../../../pruning/fold-tree.ts';
import { addInputSumsTo, inputSumsFromTensors, inputSumsToTensors } from '../../../pruning/input-equations.ts';
import type { Masks } from '../../../pruning/masks.ts';
import type { Patch } from '../../../pruning/patch.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit.ts';
import { inputParts } from '../../../pruning/refit-part.ts';
import { keptVariables, subLayerOf } from '../../../pruning/sub-layers.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { firstColumns } from '../../../worker/engine/aligned-columns.ts';
import { runRefit } from '../../../worker/tasks/refit.ts';
import { type RefitTaskInput, runRefitEquations } from '../../../worker/tasks/refit-equations.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { patchedModel, patchSource, randomPatch } from './patches.ts';
import {
  assertLadder,
  ERRORS,
  gradientFiles,
  hasStretches,
  inputCase,
  reportOf,
  SETTINGS,
  STEPS,
  TOLERANCE,
  weightsOf,
} from './refit-cases.ts';
import { Desk, maskSet } from './request-desk.ts';
import { assertSameBits, assertWithin, byName, largestGap, numbers, tensorOf } from './results.ts';
import { halfMasks, keeping, LAYERS, NEURONS, randomSamples, tinyModel } from './tiny-model.ts';

const LENGTHS = Array.from({ length: 30 }, (_, i) => 1 + ((i * 7) % 12));
const MEAN = 1.3;
const MASKS = halfMasks('student');

const MODELS = {
  'single label, BERT, gelu': ['Bert', 'SequenceClassification', {}],
  'question answering, DistilBERT, relu': ['DistilBert', 'QuestionAnswering', { activation: 'relu' }],
} as const;

const N = Array.from({ length: NEURONS }, (_, i) => i);
const STUDENTS: Readonly<Record<string, Masks>> = {
  halves: MASKS,
  'little left of the first and the last layer': keeping([[], [1], [2]], [[3, 8], N, [5]]),
};

type Config = Parameters<typeof randomPatch>[0];

/** Patches of everything before a step, and of the step's own inputs and output as an earlier step left them. */
function patchesUntil(config: Config, masks: Masks, step: number): Patch[] {
  return Array.from({ length: step + 1 }, (_, at) => subLayerOf(at)).flatMap(({ layer, subLayer }) => {
    const inputs = randomPatch(config, masks, layer, subLayer, '', 'input');
    const isRefitted = layer > 0 && inputs.kept.length > 0;
    return [...(isRefitted ? [inputs] : []), randomPatch(config, masks, layer, subLayer)];
  });
}

function partsAt(step: number, head: string) {
  return inputParts(subLayerOf(step), { layers: LAYERS, readsFirst: head === 'SequenceClassification' });
}

for (const [name, [architecture, head, fields]] of Object.entries(MODELS))
  for (const [kept, masks] of Object.entries(STUDENTS))
    test(`${name}, ${kept}: input projections are refitted as by direct least squares`, async (t) => {
      const tiny = await tinyModel(t, architecture, head, fields);
      const { config, model } = tiny;
      const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 45 });
      assert.ok(plan.shards.length > 3 && hasStretches(plan), `${plan.shards.length} shards`);
      const fit = { first: 0, end: plan.shards.length - 1 };
      const heldOut = { first: fit.end, end: plan.shards.length };
      const files = await gradientFiles(tiny.folder, plan, [{ first: 0, end: 2 }, { first: 2, end: fit.end }, heldOut]);
      const context = testContext();
      for (let step = 1; step < STEPS; step++) {
        const { layer, subLayer } = subLayerOf(step);
        if (keptVariables(masks, { layer, subLayer }).length === 0) continue;
        // Those of the first layer are the model's own before.
        const patches = patchesUntil(config, masks, step);
        const { encoder } = await patchedModel(t, tiny, patches);
        for (const part of partsAt(step, head))
          for (const mean of step === 4 ? [null, MEAN] : [MEAN]) {
            const what = `${layer} ${subLayer} ${part}, mean ${mean}`;
            const caseOf = (range: typeof fit, of: typeof files) => {
              const rows = of.map((file) => file.rows[step]);
              const weights = mean === null ? null : weightsOf(rows, mean);
              const encoders = { dense: tiny.encoder, student: encoder, masks };
              return inputCase(encoders, { layer, kind: subLayer, part }, { plan, range, weights });
            };
            const [fitted, judge] = [caseOf(fit, files.slice(0, 2)), caseOf(heldOut, files.slice(2))];
            const found = await runRefit(context, {
              ...{ model, plan, planDigest: name, student: { masks, patches: patches.map(patchSource) } },
              ...{ layer, subLayer, part, weights: mean === null ? null : { files, mean } },
              ...{ fit: { kind: 'shards', shards: fit }, heldOut: { kind: 'shards', shards: heldOut } },
              settings: SETTINGS,
            });
            const report = reportOf(found);
            const expected = assertLadder(report, fitted, judge, what);
            const { hiddenSize: rows } = fitted;
            assert.deepEqual([...tensorOf(found, 'weight').shape], [rows, config.hiddenSize]);
            assert.deepEqual([...tensorOf(found, 'bias').shape], [rows]);
            const weight = numbers(found, 'weight');
            const columns = Array.from({ length: config.hiddenSize }, (_, d) =>
              Array.from({ length: rows }, (_, row) => weight[row * config.hiddenSize + d]),
            );
            const got = [...columns.flat(), ...numbers(found, 'bias')];
            assertWithin(largestGap(got, expected), TOLERANCE, `${what}: ${report.rung}`);
          }
      }
      context.states.clear();
      context.models.clear();
    });

test('the dense model learns nothing from itself: what it has stays within rounding', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'QuestionAnswering');
  const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 40 });
  const context = testContext();
  const masks = keeping(
    [
      [0, 1, 2],
      [0, 1, 2],
      [0, 1, 2],
    ],
    [N, N, N],
  );
  for (const [layer, subLayer] of [
    [1, 'attention'],
    [2, 'ffn'],
  ] as const) {
    const found = await runRefit(context, {
      ...{ model, plan, planDigest: 'plan', student: { masks, patches: [] }, layer, subLayer, part: 'input' },
      ...{ weights: null, fit: { kind: 'shards', shards: { first: 0, end: 3 } }, settings: SETTINGS },
      heldOut: { kind: 'shards', shards: { first: 3, end: 4 } },
    });
    const { tried } = reportOf(found);
    for (const { heldOut } of tried) assertWithin(heldOut!, ERRORS, `layer ${layer} ${subLayer}`);
  }
  context.states.clear();
  context.models.clear();
});

async function world(t: test.TestContext, head: 'SequenceClassification' | 'QuestionAnswering') {
  // Of these the factors that weights carry round.
  const tiny = await tinyModel(t, 'Bert', head, { activation: 'gelu' });
  const { config, model } = tiny;
  const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 26 });
  const whole = { first: 0, end: plan.shards.length };
  assert.ok(whole.end >= 7 && hasStretches(plan));
  const files = await gradientFiles(
    tiny.folder,
    plan,
    plan.shards.map((_, first) => ({ first, end: first + 1 })),
  );
  const task = (
    step: number,
    part: RefitTaskInput['part'],
    patches: readonly Patch[],
    { first, end } = whole,
  ): RefitTaskInput => ({
    ...{ model, plan, planDigest: head, student: { masks: MASKS, patches: patches.map(patchSource) } },
    ...{ ...subLayerOf(step), part, weights: { mean: MEAN, files: files.slice(first, end) } },
  });
  return { config, whole, task };
}

/** With a context of its own: a worker that has seen nothing. */
async function fresh<T>(
  use: (context: ReturnType<typeof testContext>) => Promise<T>,
  options: Parameters<typeof testContext>[0] = {},
): Promise<T> {
  const context = testContext(options);
  try {
    return await use(context);
  } finally {
    context.states.clear();
    context.models.clear();
  }
}

for (const head of ['SequenceClassification', 'QuestionAnswering'] as const) {
  test(`${head}: parts of any cut fold to the sums of the whole, and a refit of sums is that of their shards`, async (t) => {
    const { config, whole, task } = await world(t, head);
    for (const step of [1, 4, 5])
      for (const part of partsAt(step, head)) {
        const patches = patchesUntil(config, MASKS, step);
        const sums = (range: typeof whole) =>
          fresh((context) => runRefitEquations(context, { ...task(step, part, patches, range), shards: range }));
        const ranges = [
          { first: 0, end: whole.end - 2 },
          { first: whole.end - 2, end: whole.end },
        ];
        const tensors: NamedTensor[][] = [];
        for (const range of ranges) {
          const expected = await sums(range);
          tensors.push(expected);
          for (const parts of [2, 3]) {
            const nodes = cutTree(range.first, range.end, Math.min(parts, range.end - range.first));
            const results = [];
            for (const node of nodes) results.push(inputSumsFromTensors(byName(await sums(node)), config.hiddenSize));
            const folded = inputSumsToTensors(foldCut(nodes, results, addInputSumsTo));
            assertSameBits(folded, expected, `step ${step} ${part} in ${parts} parts`);
          }
        }
        const refit = (sources: readonly Parameters<typeof runRefit>[1]['fit'][], range: typeof whole | null) =>
          fresh((context) =>
            runRefit(context, {
              ...task(step, part, patches, range ?? { first: 0, end: 0 }),
              ...{ fit: sources[0], heldOut: sources[1], settings: DEFAULT_REFIT_SETTINGS },
            }),
          );
        const ofShards = await refit(
          ranges.map((shards) => ({ kind: 'shards', shards })),
          whole,
        );
        const ofSums = await refit(
          tensors.map((own) => ({ kind: 'sums', tensors: byName(own) })),
          null,
        );
        assertSameBits(ofSums, ofShards, `step ${step} ${part}`);
      }
  });
}

test('inputs and outputs in turn have the same bits whatever states are kept, also those of other inputs', async (t) => {
  const head = 'SequenceClassification';
  const { config, whole, task } = await world(t, head);
  const run = async (context: ReturnType<typeof testContext>, name: string) => {
    const results: NamedTensor[][] = [];
    let patches: Patch[] = [];
    for (let step = 0; step < STEPS; step++) {
      const { layer, subLayer } = subLayerOf(step);
      const sums = async (part: RefitTaskInput['part'], own: readonly Patch[]) =>
        runRefitEquations(context, { ...task(step, part, own), shards: whole });
      for (const part of partsAt(step, head)) results.push(await sums(part, patches));
      const inputs = (of: string) => randomPatch(config, MASKS, layer, subLayer, of, 'input');
      // The same place with other inputs, whose features must not be taken for those that come after.
      if (step === 3) await sums('output', [...patches, inputs('other')]);
      if (step > 0) patches = [...patches, inputs(name)];
      results.push(await sums('output', patches));
      if (step === 2) await sums('output', [...patches.slice(0, -1), inputs('other')]);
      patches = [...patches, randomPatch(config, MASKS, layer, subLayer, name)];
    }
    return results;
  };
  const expected = await fresh((context) => run(context, 'one'), { stateBytes: 0 });
  for (const stateBytes of [1e9, 30_000])
    await fresh(
      async (context) => {
        await run(context, 'two');
        const found = await run(context, 'one');
        for (const [at, own] of found.entries())
          assertSameBits(own, expected[at], `result ${at} with ${stateBytes} bytes of states`);
      },
      { stateBytes },
    );
});

test('inputs that stay as they are load as what the student has, with and without a patch', async (t) => {
  const { config, whole, task } = await world(t, 'SequenceClassification');
  for (const step of [2, 3, 4]) {
    const { layer, subLayer } = subLayerOf(step);
    for (const patches of [[], [randomPatch(config, MASKS, layer, subLayer, '', 'input')]])
      await fresh(async (context) => {
        const stays: Patch[] = [];
        for (const part of partsAt(step, 'SequenceClassification')) {
          const place = task(step, part, patches);
          const sums = byName(await runRefitEquations(context, { ...place, shards: whole }));
          // No positions are fitted.
          const nothing = new Map(sums).set('positions', { ...sums.get('positions')!, data: Float64Array.of(0) });
          const found = await runRefit(context, {
            ...{ ...place, weights: null, settings: SETTINGS },
            ...{ fit: { kind: 'sums', tensors: nothing }, heldOut: { kind: 'sums', tensors: sums } },
          });
          assert.equal(reportOf(found).rung, 'unchanged');
          const [weight, bias] = ['weight', 'bias'].map((name) => tensorOf(found, name).data as Float32Array);
          const kept = keptVariables(MASKS, { layer, subLayer });
          stays.push({ layer, subLayer, part: 'input', kept, weight, bias });
        }
        const joined = (field: 'weight' | 'bias') => Float32Array.from(stays.flatMap((own) => [...own[field]]));
        const { engine, models, ops } = context;
        const told = async (own: readonly Patch[]) => {
          const weights = await models.student(task(step, 'input', []).model, MASKS, own.map(patchSource));
          const linear = subLayer === 'ffn' ? weights.layers[layer].ffnIn! : weights.layers[layer].attentionIn!;
          const columns = subLayer === 'ffn' ? weights.layers[layer].neurons : linear.bias.shape[0];
          const values = engine.scope(() => engine.downloadFloat32(firstColumns(ops, linear.kernel, columns)));
          return [[...values], [...engine.downloadFloat32(linear.bias).subarray(0, columns)]];
        };
        const before = await told(patches);
        const all = [{ ...stays[0], weight: joined('weight'), bias: joined('bias') }];
        assert.deepEqual(await told(all), before, `step ${step}, ${patches.length} patches`);
      });
  }
});

test('parts that a sub-layer lacks, inputs of nothing, and sums of something else are refused', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  for (const request of [desk.refitEquations.bind(desk), desk.refit.bind(desk)]) {
    await desk.refuses(
      request({ part: 'output' }),
      /^part: got "output", expected "", "input", "query" or "key_value"$/,
    );
    await desk.refuses(request({ part: 'query' }), /^inputs of layer 1 ffn: got part "query", expected "input"$/);
    const student = maskSet(keeping([[0], [], [0]], [[0], [], [0]]));
    await desk.refuses(
      request({ part: 'input', student }),
      /^inputs of layer 1 ffn: got masks that keep nothing there, expected something$/,
    );
    assert.ok((await desk.run(request({ part: 'key_value', subLayer: 'attention' }))).length > 0);
  }
  const sums = await desk.run(desk.refitEquations({ part: 'input' }));
  const { hiddenSize } = desk.tiny.config;
  assert.deepEqual(
    sums.map(({ name, dtype }) => [name, dtype]),
    [
      ['gram', 'F64'],
      ['positions', 'F64'],
    ],
  );
  const size = 2 * hiddenSize + 1;
  assert.ok(sums[0].data.length >= (size * (size + 1)) / 2 && sums[0].data.length <= size ** 2);
  const fitOf = async (own: readonly NamedTensor[]) => ({
    ...{ part: 'input' },
    fit: { sums: await desk.put(encodeSafetensors([...own])), source: 'sums' } as const,
  });
  await desk.refuses(desk.refit(await fitOf(await desk.run(desk.refitEquations()))), /^gram: got F64 /);
  await desk.refuses(desk.refit(await fitOf(sums.slice(1))), /^sub-layer sums: tensor "gram" is missing$/);
  const positions = { ...sums[1], data: Float64Array.of(-1) };
  await desk.refuses(desk.refit(await fitOf([sums[0], positions])), /^positions: got -1, expected a whole number$/);
  const spoilt = { ...sums[0], data: (sums[0].data as Float64Array).with(3, Number.NaN) };
  await assert.rejects(desk.run(desk.refit(await fitOf([spoilt, sums[1]]))), { code: 'not_finite' });
});
