// The same task gives the same bits: again, in parts, with any amount of memory for hidden states, and after anything else.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Plan } from '../../../dataset/plan.ts';
import { cutTree, foldCut, type ShardSpan } from '../../../pruning/fold-tree.ts';
import { denseMasks, type Masks, type SubLayer } from '../../../pruning/masks.ts';
import { addSumsTo, sumsFromTensors, sumsToTensors } from '../../../pruning/normal-equations.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { LocalModel } from '../../../worker/model/local-model.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { runFisher } from '../../../worker/tasks/fisher.ts';
import { runGradients } from '../../../worker/tasks/gradients.ts';
import { runNormalEquations } from '../../../worker/tasks/normal-equations.ts';
import { runSolve } from '../../../worker/tasks/solve.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { gramOfRows } from '../../support/plain-grams.ts';
import { assertSameBits, assertWithin, byName, largestGap, numbers, tensorOf } from './results.ts';
import { HEADS, halfMasks, LAYERS, NEURONS, randomSamples, tinyModel, withRandomScales } from './tiny-model.ts';

const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6, 6, 2, 10, 10, 3, 7, 12, 1, 4, 9, 8];
const TEACHER = halfMasks('teacher');
const STUDENT = withRandomScales(halfMasks('student'));
const STEPS = Array.from({ length: LAYERS }, (_, layer): [number, SubLayer][] => [
  [layer, 'attention'],
  [layer, 'ffn'],
]).flat();

interface Setting {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly planDigest: string;
  readonly teacher: Masks;
}

async function setting(t: test.TestContext, head: 'SequenceClassification' | 'QuestionAnswering'): Promise<Setting> {
  const { config, model } = await tinyModel(t, 'Bert', head);
  const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 22 });
  assert.ok(plan.shards.length >= 7 && plan.shards.some((shard) => shard.batches.length > 1));
  return { model, plan, planDigest: head, teacher: TEACHER };
}

/** Runs with a context of its own, which is emptied afterwards. */
async function fresh<T>(use: (context: TaskContext) => Promise<T>, stateBytes?: number): Promise<T> {
  const context = testContext(stateBytes === undefined ? {} : { stateBytes });
  try {
    return await use(context);
  } finally {
    context.states.clear();
    context.models.clear();
  }
}

const whole = (plan: Plan): ShardSpan => ({ first: 0, end: plan.shards.length });

function sums(context: TaskContext, given: Setting, step: number, shards: ShardSpan, student: Masks = STUDENT) {
  const [layer, subLayer] = STEPS[step];
  return runNormalEquations(context, { ...given, student, layer, subLayer, shards });
}

for (const head of ['SequenceClassification', 'QuestionAnswering'] as const) {
  test(`${head}: every task twice, in one context and in a new one`, async (t) => {
    const given = await setting(t, head);
    const shards = whole(given.plan);
    const fit = { kind: 'shards', shards: { first: 0, end: 5 } } as const;
    const heldOut = { kind: 'shards', shards: { first: 5, end: shards.end } } as const;
    const solve = { ...given, student: STUDENT, layer: 1, subLayer: 'ffn', fit, heldOut } as const;
    const tasks: Record<string, (context: TaskContext) => Promise<NamedTensor[]>> = {
      'fisher rows': (context) => runFisher(context, { ...given, shards, gram: false }),
      'fisher grams': (context) => runFisher(context, { ...given, shards, gram: true }),
      'dense outputs': (context) => runEvaluate(context, { ...given, shards, student: null }),
      'outputs of a student': (context) =>
        runEvaluate(context, { ...given, shards, student: { masks: STUDENT, patches: [] } }),
      gradients: (context) => runGradients(context, { ...given, shards, student: { masks: STUDENT, patches: [] } }),
      sums: (context) => sums(context, given, 4, shards),
      solve: (context) => runSolve(context, { ...solve, settings: DEFAULT_TUNING_SETTINGS }),
    };
    const first = await fresh(async (context) => {
      const results: NamedTensor[][] = [];
      for (const task of Object.values(tasks)) results.push(await task(context));
      for (const [i, [what, task]] of Object.entries(tasks).entries())
        assertSameBits(await task(context), results[i], what);
      return results;
    });
    for (const [i, [what, task]] of [...Object.entries(tasks).entries()].reverse())
      assertSameBits(await fresh(task), first[i], `${what}, alone`);
  });

  test(`${head}: parts of any cut fold to the sums of the whole`, async (t) => {
    const given = await setting(t, head);
    for (const range of [whole(given.plan), { first: 2, end: given.plan.shards.length }])
      for (const step of [0, 3, 5]) {
        const expected = await fresh((context) => sums(context, given, step, range));
        for (let parts = 2; parts <= range.end - range.first; parts++) {
          const nodes = cutTree(range.first, range.end, parts);
          // Each part by a worker that has seen nothing else.
          const results = [];
          for (const node of nodes)
            results.push(sumsFromTensors(byName(await fresh((context) => sums(context, given, step, node)))));
          assertSameBits(sumsToTensors(foldCut(nodes, results, addSumsTo)), expected, `step ${step} in ${parts} parts`);
        }
      }
  });

  test(`${head}: hidden states that are kept, kept in part or made again`, async (t) => {
    const given = await setting(t, head);
    const run = (stateBytes: number) =>
      fresh(async (context) => {
        const before = context.engine.tensorCount;
        const results: NamedTensor[][] = [];
        // As tuning goes: scales come into force one sub-layer after the other.
        const student = { ...STUDENT, ...unitScales() };
        for (const [step, [layer, subLayer]] of STEPS.entries()) {
          results.push(await sums(context, given, step, whole(given.plan), copyOf(student)));
          const [to, from, width] =
            subLayer === 'ffn'
              ? [student.neuronScales, STUDENT.neuronScales, NEURONS]
              : [student.headScales, STUDENT.headScales, HEADS];
          to.set(from.subarray(layer * width, (layer + 1) * width), layer * width);
        }
        context.models.clear();
        const held = context.engine.tensorCount - before;
        return { results: results.flat(), held };
      }, stateBytes);
    const none = await run(0);
    // Two hidden states of 24 float32 and 4 more numbers a padded token, for two or three shards of about 25 tokens.
    const some = await run(70 * (2 * 24 + 4) * 4);
    const all = await run(1e9);
    assertSameBits(some.results, none.results, 'some kept');
    assertSameBits(all.results, none.results, 'all kept');
    assert.ok(none.held < some.held && some.held < all.held, `tensors kept: ${none.held}, ${some.held}, ${all.held}`);
  });

  test(`${head}: hidden states of other masks, teachers, plans and later sub-layers are never used`, async (t) => {
    const given = await setting(t, head);
    const shards = whole(given.plan);
    const scaled: Masks = { ...STUDENT, headScales: STUDENT.headScales.map((scale) => scale * 0.9) };
    const others: Record<string, [Setting, Masks]> = {
      'other student': [given, halfMasks('another student')],
      'other scales': [given, scaled],
      'other teacher': [{ ...given, teacher: denseMasks(LAYERS, HEADS, NEURONS) }, STUDENT],
      'other plan': [
        {
          ...given,
          planDigest: 'reversed',
          plan: testPlan([...given.plan.samples].reverse(), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 22 }),
        },
        STUDENT,
      ],
    };
    const expected = new Map<number, NamedTensor[]>();
    for (const step of [1, 2, 4]) expected.set(step, await fresh((context) => sums(context, given, step, shards)));
    await fresh(async (context) => {
      const check = async (step: number, what: string) =>
        assertSameBits(await sums(context, given, step, shards), expected.get(step)!, what);
      await check(4, 'first');
      await check(2, 'backwards');
      await check(1, 'backwards again');
      await check(4, 'forwards by three');
      for (const [what, [setup, student]] of Object.entries(others)) {
        await sums(context, setup, 2, { first: 0, end: 3 }, student);
        await check(4, `after ${what}`);
        await check(2, `after ${what}, backwards`);
      }
      // Scales of sub-layers that lie behind do not matter, so what is kept may serve; the bits are the same.
      const later = copyOf(STUDENT);
      later.neuronScales.fill(3, 2 * NEURONS);
      await sums(context, given, 2, shards, later);
      await check(4, 'after other scales of a later sub-layer');
    });
  });
}

test('Fisher rows of ranges follow each other, and Grams are those of the rows', async (t) => {
  const given = await setting(t, 'SequenceClassification');
  const end = given.plan.shards.length;
  await fresh(async (context) => {
    const fisher = (shards: ShardSpan, gram = false) => runFisher(context, { ...given, shards, gram });
    const all = await fisher({ first: 0, end });
    for (const cuts of [[0, 3, end], [0, 1, 2, 5, end], Array.from({ length: end + 1 }, (_, i) => i)]) {
      const parts: NamedTensor[][] = [];
      for (let i = 1; i < cuts.length; i++) parts.push(await fisher({ first: cuts[i - 1], end: cuts[i] }));
      for (const name of ['rows', 'losses']) {
        const joined = parts.flatMap((part) => [...(tensorOf(part, name).data as Float32Array)]);
        assert.deepEqual(Float32Array.from(joined), tensorOf(all, name).data);
      }
    }
    const rows = tensorOf(all, 'rows');
    const sizes = { layers: LAYERS, heads: HEADS, neurons: NEURONS };
    const values = rows.data as Float32Array;
    const { headGrams, neuronGrams } = gramOfRows({ form: 'rows', rows: rows.shape[0], values }, sizes);
    const grams = await fisher({ first: 0, end }, true);
    const join = (parts: readonly Float64Array[]) => Float64Array.from(parts.flatMap((part) => [...part]));
    // The device adds up the same products of float64 in another order.
    assertWithin(largestGap(numbers(grams, 'head_gram'), join(headGrams)), 1e-14, 'head Grams');
    assertWithin(largestGap(numbers(grams, 'neuron_gram'), join(neuronGrams)), 1e-14, 'neuron Grams');
    assert.deepEqual(tensorOf(grams, 'losses').data, tensorOf(all, 'losses').data);
  });
});

function unitScales() {
  const { headScales, neuronScales } = denseMasks(LAYERS, HEADS, NEURONS);
  return { headScales, neuronScales };
}

function copyOf(masks: Masks): Masks {
  return { ...masks, headScales: masks.headScales.slice(), neuronScales: masks.neuronScales.slice() };
}
