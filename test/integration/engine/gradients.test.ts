// The task "gradients" against the float64 reference encoder, at students that are dense, pruned and patched, down to nothing.
//
// Tolerances: what is told are squares, which are off by twice as much as gradients (oracle.test.ts): 1e-5 of the largest value
// (1.5e-6 was seen), with TF32 0.15 (0.05 was seen).
import assert from 'node:assert/strict';
import test from 'node:test';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import type { Plan } from '../../../dataset/plan.ts';
import { foldTree } from '../../../pruning/fold-tree.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import type { Patch } from '../../../pruning/patch.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { tolerance } from '../../support/engine-under-test.ts';
import type { MaskValues, ReferenceEncoder } from '../../support/reference-encoder.ts';
import { referenceLoss } from '../../support/reference-losses.ts';
import { patchedModel, patchSource, randomPatch } from './patches.ts';
import { assertSameBits, assertWithin, largestGap, numbers, squaresOfRows, tensorOf } from './results.ts';
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
  tinyModel,
  withRandomScales,
} from './tiny-model.ts';

const SQUARES = tolerance({ float32: 1e-5, tf32: 0.15 });
const LOSSES = tolerance({ float32: 5e-6, tf32: 1e-2 });
const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6, 6, 2];
const H = [0, 1, 2];
const N = Array.from({ length: NEURONS }, (_, i) => i);

const MODELS = {
  'single label, BERT, gelu': ['Bert', 'SequenceClassification', {}],
  'regression with 2 outputs, RoBERTa, tanh gelu': [
    'Roberta',
    'SequenceClassification',
    { activation: 'gelu_new', labels: 2, problem: 'regression' },
  ],
  'question answering, DistilBERT, relu': ['DistilBert', 'QuestionAnswering', { activation: 'relu' }],
  'token classification, BERT, gelu': ['Bert', 'TokenClassification', {}],
} as const;

const STUDENTS: Readonly<Record<string, { readonly masks: Masks; readonly isPatched: boolean }>> = {
  dense: { masks: denseMasks(LAYERS, HEADS, NEURONS), isPatched: false },
  'half of everything, patched': { masks: halfMasks('student'), isPatched: true },
  'half of everything with scales, patched': { masks: withRandomScales(halfMasks('student')), isPatched: true },
  'layers without heads, patched': { masks: keeping([[], [1], []], [N, [3, 7], N]), isPatched: true },
  'layers without neurons, patched': { masks: keeping([H, [0, 2], [2]], [[], N, []]), isPatched: true },
  'nothing in the middle and in the last layer': { masks: keeping([H, [], []], [N, [], []]), isPatched: false },
  'nothing at all': { masks: keeping([[], [], []], [[], [], []]), isPatched: false },
};

/** Batches of at most 30 tokens: shards of several micro-batches, with padding in most. */
function mixedPlan(samples: readonly EncodedSample[]): Plan {
  const plan = testPlan(samples, { groupSize: 1, tokensPerBatch: 30, tokensPerShard: 30 });
  const batches = plan.shards.flatMap((shard) => shard.batches);
  assert.ok(plan.shards.length > 2 && batches.length > plan.shards.length, 'several shards, several batches a shard');
  return plan;
}

const wholePlan = (plan: Plan) => ({ first: 0, end: plan.shards.length });

function patchesOf({ config }: TinyModel, { masks, isPatched }: (typeof STUDENTS)[string]): Patch[] {
  if (!isPatched) return [];
  const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
  const outputs = layers.flatMap((layer) =>
    (['attention', 'ffn'] as const).map((subLayer) => randomPatch(config, masks, layer, subLayer)),
  );
  const inputs = [
    randomPatch(config, masks, 1, 'ffn', '', 'input'),
    randomPatch(config, masks, 2, 'attention', '', 'input'),
  ];
  return [...outputs, ...inputs.filter(({ kept }) => kept.length > 0)];
}

for (const [name, [architecture, head, fields]] of Object.entries(MODELS))
  test(`${name}: losses, importance and token gradients`, async (t) => {
    const tiny = await tinyModel(t, architecture, head, fields);
    const samples = randomSamples(tiny.config, LENGTHS);
    const plan = mixedPlan(samples);
    const shards = wholePlan(plan);
    for (const [what, student] of Object.entries(STUDENTS)) {
      const { masks } = student;
      const patches = patchesOf(tiny, student);
      const context = testContext();
      const own = { masks, patches: patches.map(patchSource) };
      const found = await runGradients(context, { model: tiny.model, plan, shards, student: own });
      const patched = await patchedModel(t, tiny, patches);
      const expected = reference(patched.encoder, plan, maskValues(masks));
      assertWithin(largestGap(numbers(found, 'losses'), expected.losses), LOSSES, `${what}: losses`);
      for (const part of ['head_importance', 'neuron_importance'] as const)
        assertWithin(largestGap(numbers(found, part), expected[part]), SQUARES, `${what}: ${part}`);
      // Each sub-layer by itself: the last one's gradients are the largest.
      expected.token_gradients.forEach((own, step) => {
        assertWithin(largestGap(row(found, step), own), SQUARES, `${what}: token gradients of step ${step}`);
      });
      assert.deepEqual(
        found.map(({ name, dtype, shape }) => [name, dtype, ...shape]),
        [
          ['losses', 'F32', samples.length],
          ['head_importance', 'F64', LAYERS * HEADS],
          ['neuron_importance', 'F64', LAYERS * NEURONS],
          ['token_gradients', 'F32', 2 * LAYERS, LENGTHS.reduce((a, b) => a + b)],
        ],
      );
      // A checkpoint with the weights of the patches is the same student.
      const same = { masks, patches: [] };
      const again = await runGradients(context, { model: patched.model, plan, shards, student: same });
      assertSameBits(found, again, what);
      context.models.clear();
    }
  });

test('what the loss does not reach, and what is pruned, is 0', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const plan = mixedPlan(randomSamples(config, LENGTHS));
  const context = testContext();
  t.after(() => context.models.clear());
  const masks = halfMasks('student');
  const student = { masks, patches: [] };
  const found = await runGradients(context, { model, plan, shards: wholePlan(plan), student });
  const positions = LENGTHS.reduce((a, b) => a + b);
  const squares = numbers(found, 'token_gradients');
  const isFirst = planOrder(plan).flatMap((member) =>
    Array.from(plan.samples[member].tokenIds, (_, token) => token === 0),
  );
  for (let step = 0; step < 2 * LAYERS; step++)
    isFirst.forEach((first, position) => {
      const isReached = first || step < 2 * (LAYERS - 1);
      assert.equal(squares[step * positions + position] > 0, isReached, `step ${step}, position ${position}`);
    });
  for (const [name, mask] of [
    ['head_importance', masks.headMask],
    ['neuron_importance', masks.neuronMask],
  ] as const)
    assert.deepEqual(
      numbers(found, name).map((value) => Number(value > 0)),
      [...mask],
      name,
    );
});

test('importance is the sum of the squared rows of fisher, a group a sample', async (t) => {
  const { config, model } = await tinyModel(t, 'Bert', 'QuestionAnswering');
  const plan = mixedPlan(randomSamples(config, LENGTHS));
  const shards = wholePlan(plan);
  const context = testContext();
  t.after(() => context.models.clear());
  const student = { masks: denseMasks(LAYERS, HEADS, NEURONS), patches: [] };
  const found = await runGradients(context, { model, plan, shards, student });
  const fisher = await runFisher(context, { model, plan, shards, gram: false });
  const rows = numbers(fisher, 'rows');
  const sums = squaresOfRows(rows, LAYERS * (HEADS + NEURONS));
  const importance = [...numbers(found, 'head_importance'), ...numbers(found, 'neuron_importance')];
  // The same float32 gradients, squared and added in float64 by both.
  assertWithin(largestGap(importance, sums), 1e-14, 'importance');
  assert.deepEqual(numbers(found, 'losses'), numbers(fisher, 'losses'));
});

test('fisher of a student: a row a sample, 0 where nothing is kept; of the dense model what a plan of single samples gives', async (t) => {
  const tiny = await tinyModel(t, 'Bert', 'SequenceClassification');
  const { config, model } = tiny;
  const samples = randomSamples(config, LENGTHS);
  const plan = testPlan(samples, { groupSize: 3, tokensPerBatch: 30, tokensPerShard: 30 });
  const shards = wholePlan(plan);
  const context = testContext();
  t.after(() => context.models.clear());
  const variables = LAYERS * (HEADS + NEURONS);
  for (const [what, given] of Object.entries(STUDENTS)) {
    const student = { masks: given.masks, patches: patchesOf(tiny, given).map(patchSource) };
    const task = { model, plan, shards, student, bySample: true };
    const fisher = await runFisher(context, { ...task, gram: false });
    assert.deepEqual(tensorOf(fisher, 'rows').shape, [samples.length, variables]);
    const rows = numbers(fisher, 'rows');
    const found = await runGradients(context, { model, plan, shards, student });
    const importance = [...numbers(found, 'head_importance'), ...numbers(found, 'neuron_importance')];
    const column = (variable: number) => rows.filter((_, at) => at % variables === variable);
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * b[at], 0);
    const columns = Array.from({ length: variables }, (_, variable) => column(variable));
    // Float32 gradients as those of the task "gradients", squared and added in float64 by both.
    assertWithin(
      largestGap(
        columns.map((own) => dot(own, own)),
        importance,
      ),
      1e-14,
      what,
    );
    const kept = [...given.masks.headMask, ...given.masks.neuronMask];
    assert.ok(columns.every((own, at) => kept[at] === 1 || own.every((value) => value === 0)));
    assert.deepEqual(numbers(found, 'losses'), numbers(fisher, 'losses'));

    const grams = await runFisher(context, { ...task, gram: true });
    const blocks = (first: number, size: number) =>
      Array.from({ length: LAYERS }, (_, layer) => columns.slice(first + layer * size, first + (layer + 1) * size));
    const triangles = (own: readonly number[][][]) =>
      own.flatMap((block) => block.flatMap((a, i) => block.slice(i).map((b) => dot(a, b))));
    const expected = [...triangles(blocks(0, HEADS)), ...triangles(blocks(LAYERS * HEADS, NEURONS))];
    const packed = [...numbers(grams, 'head_gram'), ...numbers(grams, 'neuron_gram')];
    assertWithin(largestGap(packed, expected), 1e-14, `${what}: Grams`);
  }
  const dense = await runFisher(context, { model, plan, shards, gram: false, bySample: true });
  const single = testPlan(samples, { groupSize: 1, tokensPerBatch: 30, tokensPerShard: 30 });
  const published = await runFisher(context, { model, plan: single, shards: wholePlan(single), gram: false });
  const byRow = (all: number[]) =>
    Array.from({ length: samples.length }, (_, row) => all.slice(row * variables, (row + 1) * variables));
  // Other shards, other batches: the same gradients up to rounding.
  byRow(numbers(dense, 'rows')).forEach((own, row) => {
    assertWithin(largestGap(own, byRow(numbers(published, 'rows'))[row]), SQUARES, `row ${row}`);
  });
});

test('shards by themselves, folded in the order of the tree, give the bits of all of them', async (t) => {
  const tiny = await tinyModel(t, 'Roberta', 'SequenceClassification');
  const { config, model } = tiny;
  const plan = mixedPlan(randomSamples(config, LENGTHS));
  const half = STUDENTS['half of everything, patched'];
  const student = { masks: half.masks, patches: patchesOf(tiny, half).map(patchSource) };
  const ofShards = async (shards: { first: number; end: number }) => {
    // As a worker that has seen nothing.
    const context = testContext();
    const found = await runGradients(context, { model, plan, shards, student });
    context.models.clear();
    return found;
  };
  const whole = await ofShards(wholePlan(plan));
  const parts: NamedTensor[][] = [];
  for (let shard = 0; shard < plan.shards.length; shard++) parts.push(await ofShards({ first: shard, end: shard + 1 }));
  for (const name of ['head_importance', 'neuron_importance']) {
    const leaf = (shard: number) => numbers(parts[shard], name);
    const folded = foldTree(0, parts.length, leaf, (a, b) => a.map((value, i) => value + b[i]));
    assert.deepEqual(numbers(whole, name), folded, name);
  }
  assert.deepEqual(
    numbers(whole, 'losses'),
    parts.flatMap((part) => numbers(part, 'losses')),
  );
  const steps = Array.from({ length: 2 * LAYERS }, (_, step) => step);
  for (const step of steps)
    assert.deepEqual(
      row(whole, step),
      parts.flatMap((part) => row(part, step)),
      `step ${step}`,
    );
});

/** Token gradients of one sub-layer. */
function row(found: readonly NamedTensor[], step: number): number[] {
  const [, positions] = tensorOf(found, 'token_gradients').shape;
  return numbers(found, 'token_gradients').slice(step * positions, (step + 1) * positions);
}

/** Samples in the order in which a plan's micro-batches have them. */
function planOrder({ shards }: Plan): number[] {
  return shards.flatMap(({ batches }) => batches.flatMap(({ members }) => [...members]));
}

function reference(encoder: ReferenceEncoder, plan: Plan, values: MaskValues) {
  const { config } = encoder;
  const head_importance = new Float64Array(values.heads.length);
  const neuron_importance = new Float64Array(values.neurons.length);
  const losses = new Float64Array(plan.samples.length);
  const rows: number[][] = Array.from({ length: 2 * LAYERS }, () => []);
  for (const member of planOrder(plan)) {
    const sample = plan.samples[member];
    const trace = encoder.forward(encoderInput(sample), values);
    const { loss, gradient } = referenceLoss(config, trace.logits, [...sample.target]);
    losses[member] = loss;
    const { heads, neurons, outputs } = encoder.gradients(trace, gradient, values);
    // A mask multiplies what is scaled already.
    heads.forEach((g, i) => {
      head_importance[i] += (g * values.heads[i]) ** 2;
    });
    neurons.forEach((g, i) => {
      neuron_importance[i] += (g * values.neurons[i]) ** 2;
    });
    outputs.forEach((output, step) => {
      for (let at = 0; at < output.length; at += config.hiddenSize)
        rows[step].push(output.subarray(at, at + config.hiddenSize).reduce((sum, g) => sum + g * g, 0));
    });
  }
  return { losses, head_importance, neuron_importance, token_gradients: rows };
}
