// The engine against the float64 reference encoder, where no other program's numbers exist: every head and activation
// with micro-batches of mixed lengths, sums of every sub-layer, and models with next to nothing or nothing left.
//
// Tolerances: float32 rounds to 6e-8; three layers of sums of a few dozen products, LayerNorms and softmaxes among them,
// amplify that up to twenty times (1.1e-6 was seen). Logits, losses, gradients and sums must agree to 5e-6 of the largest
// value compared. TF32 rounds what products multiply to 5e-4, and the same twenty times that are 1e-2 (5e-3 was seen). Gradients
// agree to 0.15 then (0.07 was seen): they begin with a probability less the label, of which little is left where a model is
// sure, and a value beside the kink of relu may fall on its other side.
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import type { Plan } from '../../../dataset/plan.ts';
import { denseMasks, type Masks, type SubLayer } from '../../../pruning/masks.ts';
import { sumsFromTensors } from '../../../pruning/normal-equations.ts';
import { layerBackward } from '../../../worker/model/backward.ts';
import { uploadBatch } from '../../../worker/model/device-batch.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runNormalEquations } from '../../../worker/tasks/normal-equations.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { tolerance } from '../../support/engine-under-test.ts';
import { outputProjection, type ScaleSystem, scaleSystem, systemOfSums } from '../../support/plain-system.ts';
import { referenceLoss } from '../../support/reference-losses.ts';
import { keptFeatures, outputWeight, referenceSums } from '../../support/reference-sums.ts';
import { assertWithin, byName, largestDifference, largestGap, numbers } from './results.ts';
import {
  encoderInput,
  HEADS,
  halfMasks,
  keeping,
  LAYERS,
  maskValues,
  NEURONS,
  randomSamples,
  type TinyModel,
  temporaryFolder,
  tinyModel,
  withRandomScales,
} from './tiny-model.ts';

const TOLERANCE = tolerance({ float32: 5e-6, tf32: 1e-2 });
const GRADIENTS = tolerance({ float32: TOLERANCE, tf32: 0.15 });
const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6, 6, 2];

/** Groups of 3, and batches of at most 30 tokens: shards of several micro-batches, with padding in most. */
function mixedPlan(samples: readonly EncodedSample[]): Plan {
  const plan = testPlan(samples, { groupSize: 3, tokensPerBatch: 30, tokensPerShard: 45 });
  const batches = plan.shards.flatMap((shard) => shard.batches);
  assert.ok(plan.shards.length > 1 && batches.length > plan.shards.length, 'several shards, several batches a shard');
  const padded = batches.filter(({ members, tokens }) => [...members].some((m) => samples[m].tokenIds.length < tokens));
  assert.ok(padded.length > 1, 'batches with padding');
  return plan;
}

const wholePlan = (plan: Plan) => ({ first: 0, end: plan.shards.length });

const MODELS = {
  'token classification, BERT, gelu': ['Bert', 'TokenClassification', {}],
  'token classification, RoBERTa, relu': ['Roberta', 'TokenClassification', { activation: 'relu', labels: 5 }],
  'multi-label, BERT, tanh gelu': [
    'Bert',
    'SequenceClassification',
    { activation: 'gelu_new', problem: 'multi_label_classification' },
  ],
  'multi-label, RoBERTa, gelu': ['Roberta', 'SequenceClassification', { problem: 'multi_label_classification' }],
  'regression with 2 outputs, BERT, relu': [
    'Bert',
    'SequenceClassification',
    { activation: 'relu', labels: 2, problem: 'regression' },
  ],
  'regression with 2 outputs, DistilBERT, gelu': [
    'DistilBert',
    'SequenceClassification',
    { labels: 2, problem: 'regression' },
  ],
  'question answering, BERT, tanh gelu': ['Bert', 'QuestionAnswering', { activation: 'gelu_pytorch_tanh' }],
  'question answering, DistilBERT, relu': ['DistilBert', 'QuestionAnswering', { activation: 'relu' }],
  'single label, DistilBERT, relu': ['DistilBert', 'SequenceClassification', { activation: 'relu' }],
  'single label, RoBERTa, tanh gelu': ['Roberta', 'SequenceClassification', { activation: 'gelu_new' }],
} as const;

for (const name of Object.keys(MODELS) as (keyof typeof MODELS)[])
  test(`${name}: logits, losses and gradients of padded micro-batches`, async (t) => {
    const { config, encoder, model } = await modelOf(t, name);
    const samples = randomSamples(config, LENGTHS);
    // One sample has no labelled token at all: no loss, no gradient.
    if (config.task === 'token-classification') samples[4].target.fill(-100);
    const plan = mixedPlan(samples);
    const context = testContext();

    const traces = samples.map((sample) => encoder.forward(encoderInput(sample)));
    const logits = await runEvaluate(context, { model, plan, shards: wholePlan(plan), student: null });
    assertWithin(
      largestGap(
        numbers(logits, 'logits'),
        traces.flatMap((trace) => [...trace.logits]),
      ),
      TOLERANCE,
      'logits',
    );

    const found = await runFisher(context, { model, plan, shards: wholePlan(plan), gram: false });
    const losses = traces.map((trace, i) => referenceLoss(config, trace.logits, [...samples[i].target]));
    assertWithin(
      largestGap(
        numbers(found, 'losses'),
        losses.map(({ loss }) => loss),
      ),
      TOLERANCE,
      'losses',
    );
    const width = LAYERS * (HEADS + NEURONS);
    const rows = new Float64Array(Math.ceil(samples.length / 3) * width);
    traces.forEach((trace, i) => {
      const { heads, neurons } = encoder.maskGradients(trace, losses[i].gradient);
      // The last group holds one sample alone; its row is divided by 3 all the same.
      [...heads, ...neurons].forEach((g, at) => {
        rows[Math.floor(i / 3) * width + at] += g / 3;
      });
    });
    assertWithin(largestGap(numbers(found, 'rows'), rows), GRADIENTS, 'rows');
    context.models.clear();
  });

for (const name of ['single label, RoBERTa, tanh gelu', 'token classification, BERT, gelu'] as const)
  test(`${name}: sums of every sub-layer, with a masked teacher and a masked and scaled student`, async (t) => {
    const { config, encoder, model } = await modelOf(t, name);
    const samples = randomSamples(config, LENGTHS);
    const plan = mixedPlan(samples);
    const inputs = samples.map(encoderInput);
    const teacher = halfMasks('teacher');
    const student = withRandomScales(halfMasks('student'));
    const context = testContext();
    for (const masks of [teacher, denseMasks(LAYERS, HEADS, NEURONS)])
      for (let layer = 0; layer < LAYERS; layer++)
        for (const subLayer of ['attention', 'ffn'] as const) {
          const shards = wholePlan(plan);
          const task = { model, plan, planDigest: 'mixed', teacher: masks, student, layer, subLayer, shards };
          const got = systemOfSums(sumsFromTensors(byName(await runNormalEquations(context, task))), config.hiddenSize);
          const place = { layer, kind: subLayer };
          const { sums, system } = expectedSystem(encoder, inputs, maskValues(masks), maskValues(student), place);
          const what = `layer ${layer} ${subLayer}`;
          assert.equal(got.positions, sums.positions, what);
          const scales = ({ right }: ScaleSystem) => right.subarray(0, system.scales);
          assertWithin(largestGap(got.matrix, system.matrix), TOLERANCE, `${what} matrix`);
          assertWithin(largestGap(scales(got), scales(system)), TOLERANCE, `${what} right side`);
          assertWithin(largestGap([got.targetSquares], [sums.targetSquares]), TOLERANCE, `${what} target squares`);
          if (subLayer === 'ffn') continue;
          // Terms of either sign cancel in this sum: it is judged against the size of its terms, √(n·ΣR²).
          const size = Math.sqrt(sums.positions * sums.hiddenSize * sums.targetSquares);
          const gap = Math.abs(got.right[system.scales] - sums.targetSum);
          assertWithin(gap / size, TOLERANCE, `${what} target sum`);
        }
    context.states.clear();
    context.models.clear();
  });

test('the last layer for first tokens alone gives what all tokens give: outputs and every gradient', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const samples = randomSamples(config, [7, 3, 9, 1]);
  const context = testContext();
  const { engine, ops, forward } = context;
  const weights = await context.models.dense(model);
  engine.scope(() => {
    const batch = uploadBatch(ops, samples, { members: Int32Array.of(0, 1, 2, 3), tokens: 9 }, config);
    const x = forward.embed(weights, batch);
    const layer = LAYERS - 1;
    const [first, all] = (['first', 'all'] as const).map((queries) => forward.layer(weights, layer, x, batch, queries));
    const gradient = new Float32Array(4 * 24).map((_, i) => Math.sin(i));
    // Only first tokens have a gradient.
    const spread = new Float32Array(4 * 9 * 24);
    for (let i = 0; i < 4; i++) spread.set(gradient.subarray(i * 24, (i + 1) * 24), i * 9 * 24);
    const of = (values: Float32Array, rows: number) => ({ dy: engine.upload(values, [rows, 24]), dy2: null });
    const some = layerBackward(forward, weights, layer, first.pass, of(gradient, 4), batch);
    const whole = layerBackward(forward, weights, layer, all.pass, of(spread, 36), batch);
    const [someInput, wholeInput] = [some, whole].map(({ input }) => ops.add(input!.dy, input!.dy2!));
    const picked = ops.gather(all.x, batch.firstRows);
    for (const [what, a, b] of [
      ['output', first.x, picked],
      ['head gradients', some.heads, whole.heads],
      ['neuron gradients', some.neurons, whole.neurons],
      ['input gradient', someInput, wholeInput],
    ] as const) {
      assert.deepEqual(a!.shape, b!.shape, what);
      assertWithin(largestGap(engine.downloadFloat32(a!), engine.downloadFloat32(b!)), TOLERANCE, what);
    }
  });
  context.models.clear();
});

/** The sums by their definition, and the system that they make: attention's has a column of ones, an FFN's has none. */
function expectedSystem(...[encoder, inputs, teacher, student, place]: Parameters<typeof referenceSums>) {
  const sums = referenceSums(encoder, inputs, teacher, student, place);
  const { features, hiddenSize } = sums;
  const isFfn = place.kind === 'ffn';
  const sizes = { features, hiddenSize, blockSize: isFfn ? 1 : encoder.config.headSize };
  const projection = outputProjection(outputWeight(encoder, keptFeatures(encoder, student, place), place), sizes);
  return { sums, system: scaleSystem(sums, projection, !isFfn) };
}

function modelOf(t: test.TestContext, name: keyof typeof MODELS): Promise<TinyModel> {
  const [architecture, head, fields] = MODELS[name];
  return tinyModel(t, architecture, head, fields);
}

const H = [0, 1, 2];
const N = Array.from({ length: NEURONS }, (_, i) => i);
const REMAINS: Record<string, Masks> = {
  'half of everything': halfMasks('student'),
  'no head in the first layer': keeping([[], [1], H], [N, [3, 7], N]),
  'no head in the last layer': keeping([H, [0, 2], []], [N, N, [0, 19]]),
  'no neuron in the first and the last layer': keeping([H, H, [2]], [[], N, []]),
  'nothing in the middle layer': keeping([H, [], [1]], [N, [], [5, 6]]),
  'nothing in the last layer': keeping([H, H, []], [N, N, []]),
  'nothing at all': keeping([[], [], []], [[], [], []]),
  'one head and one neuron a layer': keeping([[2], [0], [1]], [[19], [0], [8]]),
  'scaled halves': withRandomScales(halfMasks('student')),
  'one scaled head and one scaled neuron a layer': withRandomScales(keeping([[2], [0], [1]], [[19], [0], [8]])),
};
// True masking and smaller matrices differ in rounding only; the published bar for equality of a pruned model's outputs is
// 1e-4, and these models, whose logits are of size 1, stay a hundred times below it.
const SAME_LOGITS = tolerance({ float32: 5e-6, tf32: 1e-2 });

for (const [what, masks] of Object.entries(REMAINS))
  test(`${what}: masks, a written checkpoint and true masking give the same model`, async (t) => {
    for (const name of [
      'single label, RoBERTa, tanh gelu',
      'question answering, DistilBERT, relu',
      'token classification, BERT, gelu',
    ] as const) {
      const tiny = await modelOf(t, name);
      const { config, encoder, model } = tiny;
      const samples = randomSamples(config, LENGTHS);
      const plan = mixedPlan(samples);
      const context = testContext();
      const values = maskValues(masks);
      const traces = samples.map((sample) => encoder.forward(encoderInput(sample), values));
      const expected = traces.flatMap((trace) => [...trace.logits]);
      const shards = wholePlan(plan);
      const masked = await runEvaluate(context, { model, plan, shards, student: { masks, patches: [] } });
      assertWithin(largestDifference(numbers(masked, 'logits'), expected), SAME_LOGITS, `${name}, masks`);

      const written = await writtenModel(t, tiny, masks);
      const smaller = await runEvaluate(context, { model: written, plan, shards, student: null });
      assertWithin(largestDifference(numbers(smaller, 'logits'), expected), SAME_LOGITS, `${name}, checkpoint`);

      // The written model's own masks start at 1 with the scales inside: by the chain rule its gradients are the scales
      // times those of the masked model.
      const rows = numbers(await runFisher(context, { model: written, plan, shards, gram: false }), 'rows');
      const gradients = Array.from({ length: Math.ceil(samples.length / 3) }, () => new Float64Array(0));
      traces.forEach((trace, i) => {
        const found = encoder.maskGradients(
          trace,
          referenceLoss(config, trace.logits, [...samples[i].target]).gradient,
          values,
        );
        const kept = [...keptParts(found.heads, values.heads), ...keptParts(found.neurons, values.neurons)];
        const group = Math.floor(i / 3);
        const before = gradients[group];
        gradients[group] = Float64Array.from(kept, (g, at) => (before[at] ?? 0) + g / 3);
      });
      assertWithin(
        largestGap(
          rows,
          gradients.flatMap((row) => [...row]),
        ),
        GRADIENTS,
        `${name}, gradients`,
      );
      context.models.clear();
    }
  });

test('sums where the student or the teacher has empty sub-layers, and a sub-layer of its own that is empty', async (t) => {
  const { config, encoder, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const samples = randomSamples(config, LENGTHS);
  const plan = mixedPlan(samples);
  const context = testContext();
  const student = keeping([[], [1], [2]], [[4], [], [0, 9]]);
  const teacher = keeping([[0], [], []], [[], [1], []]);
  const task = (layer: number, subLayer: SubLayer) => ({
    ...{ model, plan, planDigest: 'mixed', shards: wholePlan(plan) },
    ...{ teacher, student, layer, subLayer },
  });
  for (const [layer, kind] of [
    [0, 'ffn'],
    [1, 'attention'],
    [2, 'attention'],
    [2, 'ffn'],
  ] as const) {
    const tensors = byName(await runNormalEquations(context, task(layer, kind)));
    const got = systemOfSums(sumsFromTensors(tensors), config.hiddenSize);
    const place = { layer, kind };
    const inputs = samples.map(encoderInput);
    const { system } = expectedSystem(encoder, inputs, maskValues(teacher), maskValues(student), place);
    for (const part of ['matrix', 'right'] as const)
      assertWithin(largestGap(got[part], system[part]), TOLERANCE, `layer ${layer} ${kind} ${part}`);
  }
  for (const [layer, kind] of [
    [0, 'attention'],
    [1, 'ffn'],
  ] as const)
    await assert.rejects(runNormalEquations(context, task(layer, kind)), {
      code: 'protocol',
      message: /sub-layer \d: got no kept variable/,
    });
  context.states.clear();
  context.models.clear();
});

async function writtenModel(t: test.TestContext, { folder }: TinyModel, masks: Masks) {
  const target = path.join(await temporaryFolder(t), 'pruned');
  const source = await openCheckpoint(folder);
  await writePrunedCheckpoint(source, masks, 'F32', target);
  await source.close();
  return localModel(target);
}

/** Gradients of what is kept, times its scale. */
function keptParts(gradients: Float64Array, values: Float64Array): number[] {
  return [...gradients].map((g, i) => g * values[i]).filter((_, i) => values[i] !== 0);
}
