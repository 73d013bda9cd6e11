// The same refit gives the same bits: again, from the parts of any cut, with any amount of memory for hidden states, and while
// patches come one after the other; and what depends on another patch is never taken for it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { cutTree, foldCut, type ShardSpan } from '../../../pruning/fold-tree.ts';
import { keptIndices, type Masks, type SubLayer } from '../../../pruning/masks.ts';
import { type Patch, type PatchPart, patchName, patchToTensors } from '../../../pruning/patch.ts';
import { DEFAULT_REFIT_SETTINGS } from '../../../pruning/refit.ts';
import { addRefitSumsTo, refitSumsFromTensors, refitSumsToTensors } from '../../../pruning/refit-equations.ts';
import { keptVariables, stepOf } from '../../../pruning/sub-layers.ts';
import { blobOfParts } from '../../../shared/blobs/blob-source.ts';
import { safetensorsParts } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { loadOps } from '../../../worker/engine/binding.ts';
import type { EncoderWeights } from '../../../worker/model/encoder-weights.ts';
import { type RefitInput, releaseStored, runRefit, solveRefit } from '../../../worker/tasks/refit.ts';
import { type RefitTaskInput, runRefitEquations } from '../../../worker/tasks/refit-equations.ts';
import { type NextRefit, runRefits } from '../../../worker/tasks/refits.ts';
import type { TaskContext } from '../../../worker/tasks/task-context.ts';
import { withoutScales } from '../../../worker/tuning/scaled-student.ts';
import { stretchesOf } from '../../../worker/tuning/stretch.ts';
import { keptProjection } from '../../../worker/tuning/sub-layer.ts';
import { testContext, testPlan } from '../../support/engine.ts';
import { gpuBranches } from '../../support/gpu-branches.ts';
import { patchSource, randomPatch } from './patches.ts';
import { gradientFiles, hasStretches, STEPS } from './refit-cases.ts';
import { assertSameBits, byName, numbers, tensorOf } from './results.ts';
import { halfMasks, keeping, NEURONS, randomSamples, tinyModel } from './tiny-model.ts';

const LENGTHS = [12, 5, 1, 7, 9, 3, 12, 8, 4, 11, 6, 6, 2, 10, 10, 3, 7, 12, 1, 4, 9, 8];
const MEAN = 1.3;
const MASKS = halfMasks('student');

const placeOf = (step: number): { layer: number; subLayer: SubLayer } => ({
  layer: Math.floor(step / 2),
  subLayer: step % 2 === 0 ? 'attention' : 'ffn',
});

async function setting(t: test.TestContext, head: 'SequenceClassification' | 'QuestionAnswering') {
  const tiny = await tinyModel(t, 'Bert', head);
  const { config, model } = tiny;
  const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 22 });
  assert.ok(plan.shards.length >= 7 && hasStretches(plan));
  const whole: ShardSpan = { first: 0, end: plan.shards.length };
  const shards = Array.from({ length: whole.end }, (_, first) => ({ first, end: first + 1 }));
  const files = await gradientFiles(tiny.folder, plan, shards);
  const patches = Array.from({ length: STEPS }, (_, step) => {
    const { layer, subLayer } = placeOf(step);
    return randomPatch(config, MASKS, layer, subLayer);
  });
  /** A task at a step, with some of the patches, and the gradients of some shards. */
  const task = (step: number, own: readonly Patch[], summed: readonly ShardSpan[]): RefitTaskInput => ({
    ...{ model, plan, planDigest: head, student: { masks: MASKS, patches: own.map(patchSource) } },
    ...{ ...placeOf(step), part: 'output' },
    weights: { mean: MEAN, files: files.filter(({ shards: { first } }) => summed.some((range) => has(range, first))) },
  });
  const sums = (context: TaskContext, step: number, own: readonly Patch[], range: ShardSpan) =>
    runRefitEquations(context, { ...task(step, own, [range]), shards: range });
  return { ...{ tiny, plan, whole, patches, task, sums }, hiddenSize: config.hiddenSize };
}

/** Masks that keep every second of what these keep. */
function halfOf(masks: Masks): Masks {
  const half = (mask: Uint8Array) => {
    let kept = 0;
    return mask.map((bit) => (bit === 1 ? kept++ % 2 : 0));
  };
  return { ...withoutScales(masks), headMask: half(masks.headMask), neuronMask: half(masks.neuronMask) };
}

/** Weights of all sub-layers. */
function valuesOf({ engine }: TaskContext, { layers }: EncoderWeights): (Float32Array | null)[] {
  return layers
    .flatMap(({ attentionIn, attentionOutput, attentionBias, ffnIn, ffnOut, ffnBias }) => [
      ...[attentionIn?.kernel, attentionIn?.bias, attentionOutput, attentionBias],
      ...[ffnIn?.kernel, ffnIn?.bias, ffnOut, ffnBias],
    ])
    .map((tensor) => (tensor ? engine.downloadFloat32(tensor) : null));
}

function has({ first, end }: ShardSpan, shard: number): boolean {
  return shard >= first && shard < end;
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

for (const head of ['SequenceClassification', 'QuestionAnswering'] as const) {
  test(`${head}: parts of any cut fold to the sums of the whole`, async (t) => {
    const { whole, patches, sums, hiddenSize } = await setting(t, head);
    for (const range of [whole, { first: 2, end: whole.end }])
      for (const step of [0, 3, 4, 5]) {
        const expected = await fresh((context) => sums(context, step, patches, range));
        for (const parts of [2, 3, range.end - range.first]) {
          const nodes = cutTree(range.first, range.end, parts);
          const results = [];
          for (const node of nodes) {
            const own = await fresh((context) => sums(context, step, patches, node));
            results.push(refitSumsFromTensors(byName(own), hiddenSize));
          }
          const folded = refitSumsToTensors(foldCut(nodes, results, addRefitSumsTo));
          assertSameBits(folded, expected, `step ${step} in ${parts} parts`);
        }
      }
  });

  test(`${head}: a refit of shards, of their sums, and of either has the same bits`, async (t) => {
    const { whole, patches, task, sums } = await setting(t, head);
    const ranges = { fit: { first: 0, end: whole.end - 2 }, heldOut: { first: whole.end - 2, end: whole.end } };
    for (const step of [0, 1, 4, 5]) {
      const source = async (name: 'fit' | 'heldOut', kind: 'shards' | 'sums'): Promise<RefitInput['fit']> => {
        if (kind === 'shards') return { kind, shards: ranges[name] };
        return { kind, tensors: byName(await fresh((context) => sums(context, step, patches, ranges[name]))) };
      };
      const results: NamedTensor[][] = [];
      for (const fit of ['shards', 'sums'] as const)
        for (const heldOut of ['shards', 'sums'] as const) {
          const summed = [fit === 'shards' ? [ranges.fit] : [], heldOut === 'shards' ? [ranges.heldOut] : []].flat();
          const input = {
            ...task(step, patches, summed),
            ...{ fit: await source('fit', fit), heldOut: await source('heldOut', heldOut) },
            settings: DEFAULT_REFIT_SETTINGS,
          };
          results.push(await fresh((context) => runRefit(context, input)));
        }
      for (const other of results.slice(1)) assertSameBits(other, results[0], `step ${step}`);
    }
  });

  test(`${head}: several refits in one task have the bits of each alone, and the patches that are made of them`, async (t) => {
    const { tiny, whole, patches, task } = await setting(t, head);
    const shards = (first: number, end: number) => ({ kind: 'shards', shards: { first, end } }) as const;
    const [fit, heldOut] = [shards(0, whole.end - 2), shards(whole.end - 2, whole.end)];
    const places = [1, 2, 3, 4].flatMap((step) => {
      const own = { ...placeOf(step), mean: step };
      return [
        ...(step > 1 && step < 4 ? [{ ...own, part: 'input' as const }] : []),
        { ...own, part: 'output' as const },
      ];
    });
    const inputOf = (own: readonly Patch[], { mean, ...place }: (typeof places)[number]): RefitInput => {
      const { weights, ...rest } = task(0, own, [whole]);
      return { ...rest, ...place, weights: { ...weights!, mean }, fit, heldOut, settings: { lambdas: [0.01, 1] } };
    };
    const expected: NamedTensor[] = [];
    let own: readonly Patch[] = patches;
    for (const [at, place] of places.entries()) {
      const { tensors, isChanged } = await fresh(async (context) => {
        const solved = await solveRefit(context, inputOf(own, place));
        releaseStored(context.engine, solved);
        return { tensors: solved.tensors(), isChanged: solved.isChanged };
      });
      expected.push(...tensors.map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` })));
      const { layer, subLayer } = place;
      const part = place.part === 'output' ? 'output' : 'input';
      const [weight, bias] = ['weight', 'bias'].map((name) => tensorOf(tensors, name).data as Float32Array);
      const patch: Patch = { layer, subLayer, part, kept: keptVariables(MASKS, place), weight, bias };
      const others = own.filter((other) => patchName(other) !== patchName(patch));
      if (isChanged) own = [...others, patch];
    }
    assert.ok(own.length > patches.length, 'inputs were changed');
    await fresh(async (context) => {
      const told: NamedTensor[] = [];
      const last = await runRefits(context, inputOf(patches, places[0]), places.slice(1), (part) => told.push(...part));
      assert.equal(told.length, 3 * (places.length - 1));
      assertSameBits([...told, ...last], expected, 'several');
      // The coordinator's names of the patches are those under which they are on the device, with the bits of those that are read.
      const load = t.mock.fn(async (): Promise<Patch> => assert.fail('a patch that was made here is read'));
      const named = own.map((patch) => {
        const { digest } = blobOfParts(safetensorsParts(patchToTensors(patch)));
        const isOwn = !patches.includes(patch);
        return isOwn ? { ...patch, name: context.models.fitted.of(digest), load } : patchSource(patch);
      });
      for (const masks of [withoutScales(MASKS), halfOf(MASKS)]) {
        const found = valuesOf(context, await context.models.student(tiny.model, masks, named));
        const read = async (other: TaskContext) =>
          valuesOf(other, await other.models.student(tiny.model, masks, own.map(patchSource)));
        assert.deepEqual(found, await fresh(read));
      }
    });
  });

  test(`${head}: a refit of nodes, some that came and some that stayed, has the bits of their shards`, async (t) => {
    const { whole, patches, task, sums } = await setting(t, head);
    const [fit, heldOut] = [
      { first: 0, end: whole.end - 2 },
      { first: whole.end - 2, end: whole.end },
    ];
    for (const step of [0, 3, 5]) {
      const settings = DEFAULT_REFIT_SETTINGS;
      const nodes = cutTree(fit.first, fit.end, 3);
      const [came, ...stays] = nodes;
      const place = task(step, patches, [fit, heldOut]);
      const shards = (own: ShardSpan) => ({ kind: 'shards', shards: own }) as const;
      const expected = await fresh((context) =>
        runRefit(context, { ...place, fit: shards(fit), heldOut: shards(heldOut), settings }),
      );
      const tensors = byName(await fresh((context) => sums(context, step, patches, came)));
      const input: RefitInput = {
        ...task(step, patches, [...stays, heldOut]),
        fit: { kind: 'nodes', nodes: nodes.map((node) => ({ ...node, tensors: node === came ? tensors : null })) },
        heldOut: shards(heldOut),
        settings,
      };
      await fresh(async (context) => {
        const keep = async () => {
          for (const node of [...stays, heldOut]) {
            const equations = { ...task(step, patches, [node]), shards: node, stays: true };
            assert.deepEqual(await runRefitEquations(context, equations), []);
          }
        };
        await keep();
        const counted = t.mock.method(context.states, 'visit');
        assertSameBits(await runRefit(context, input), expected, `step ${step}: kept`);
        assert.equal(counted.mock.callCount(), 0, 'no pass over positions');
        assertSameBits(await runRefit(context, input), expected, `step ${step}: gone`);
        assert.ok(counted.mock.callCount() > 0);
        counted.mock.restore();
        // Those of a student with another patch of the sub-layer itself are not taken.
        await keep();
        const own = input.student.patches.filter(({ layer, subLayer }) => stepOf(layer, subLayer) !== step);
        const other = { ...input, student: { ...input.student, patches: own } };
        const alone = await fresh((unused) => runRefit(unused, other));
        assertSameBits(await runRefit(context, other), alone, `step ${step}: another student`);
        await keep();
      });
    }
  });

  test(`${head}: hidden states that are kept, kept in part or made again, while patches come one after the other`, async (t) => {
    const { tiny, whole, patches: before, sums } = await setting(t, head);
    const run = (stateBytes: number) =>
      fresh(async (context) => {
        const results: NamedTensor[][] = [];
        const patches = [...before];
        for (let step = 0; step < STEPS; step++) {
          results.push(await sums(context, step, patches, whole));
          const { layer, subLayer } = placeOf(step);
          patches[step] = randomPatch(tiny.config, MASKS, layer, subLayer, 'new');
        }
        return results;
      }, stateBytes);
    const expected = await run(0);
    for (const stateBytes of [1e9, 20_000, 9_000])
      for (const [step, found] of (await run(stateBytes)).entries())
        assertSameBits(found, expected[step], `step ${step} with ${stateBytes} bytes of states`);
  });

  test(`${head}: a second student of the same teacher has the bits that it has alone, and no pass of the teacher`, async (t) => {
    const { plan, whole, patches, task } = await setting(t, head);
    const stretches = plan.shards.reduce((sum, _, shard) => sum + stretchesOf(plan, shard).length, 0);
    const other = { masks: halfMasks('another student'), patches: [] };
    const all = async (context: TaskContext) => {
      const results: NamedTensor[][] = [];
      const counted = t.mock.method(context.engine, 'opOutputs');
      for (let step = 0; step < STEPS; step++)
        results.push(await runRefitEquations(context, { ...task(step, [], [whole]), student: other, shards: whole }));
      counted.mock.restore();
      return { results, products: counted.mock.calls.filter(({ arguments: [name] }) => name === 'MatMul').length };
    };
    const alone = await fresh(all);
    for (const stateBytes of [1e9, 30_000, 9_000, 0])
      await fresh(async (context) => {
        for (let step = 0; step < STEPS; step++)
          await runRefitEquations(context, { ...task(step, patches, [whole]), shards: whole });
        const { results, products } = await all(context);
        for (const [step, found] of results.entries()) assertSameBits(found, alone.results[step], `step ${step}`);
        // Of the teacher that into its features and that out of them.
        if (stateBytes === 1e9) assert.equal(products, alone.products - 2 * STEPS * stretches);
      }, stateBytes);
  });

  test(`${head}: sums depend on the patches before their sub-layer, whose states are not taken for others'`, async (t) => {
    const { tiny, whole, patches, sums } = await setting(t, head);
    const changed = (at: number) => {
      const { layer, subLayer } = placeOf(at);
      return patches.with(at, randomPatch(tiny.config, MASKS, layer, subLayer, 'other'));
    };
    const step = 3;
    const expected = await fresh((context) => sums(context, step, patches, whole));
    await fresh(async (context) => {
      for (let at = 0; at < STEPS; at++) {
        const [found, again] = [
          await sums(context, step, changed(at), whole),
          await sums(context, step, patches, whole),
        ];
        assertSameBits(again, expected, `after patch ${at}`);
        if (at >= step) assertSameBits(found, expected, `patch ${at}`);
        else assert.notDeepEqual(numbers(found, 'gram'), numbers(expected, 'gram'), `patch ${at}`);
      }
    });
  });
}

const skip = loadOps().library === null ? `no fused kernels: ${loadOps().problem}` : false;

test('what was refitted on a device that fills up columns stays there with the bits of what is read', {
  skip,
}, async (t) => {
  const { tiny, whole, patches, task } = await setting(t, 'QuestionAnswering');
  const fit = { kind: 'shards', shards: whole } as const;
  const places = ['input', 'output'].map((part) => ({ layer: 1, subLayer: 'ffn', part, mean: MEAN }) as NextRefit);
  const [first, ...next] = places;
  const { context } = gpuBranches();
  const told: NamedTensor[] = [];
  const input: RefitInput = { ...task(0, patches, [whole]), ...first, fit, heldOut: null, settings: { lambdas: [1] } };
  told.push(...(await runRefits(context, input, next, (part) => told.push(...part))));
  const own = places.map(({ layer, subLayer, part }, at): Patch => {
    const values = (name: string) => Float32Array.from(numbers(told, at === 0 ? name : `${at}.${name}`));
    const kept = keptVariables(MASKS, { layer, subLayer });
    return { layer, subLayer, part: part as PatchPart, kept, weight: values('weight'), bias: values('bias') };
  });
  const sources = own.map((patch) => {
    const source = patchSource(patch);
    return Object.assign(source, { name: context.models.fitted.of(source.name) });
  });
  const { context: other } = gpuBranches();
  for (const masks of [withoutScales(MASKS), halfOf(MASKS)]) {
    const found = await context.models.student(tiny.model, masks, sources);
    assert.ok(found.layers.some(({ ffnIn, neurons }) => ffnIn!.bias.shape[0] > neurons));
    assert.deepEqual(
      valuesOf(context, found),
      valuesOf(other, await other.models.student(tiny.model, masks, own.map(patchSource))),
    );
  }
  assert.ok(sources.every(({ reads }) => reads === 0));
  for (const { states, models } of [context, other]) {
    states.clear();
    models.clear();
  }
});

test('a projection that stays as it is loads as what the student has, with and without a patch', async (t) => {
  // Of these the factor in an FFN's weights rounds.
  const tiny = await tinyModel(t, 'Bert', 'SequenceClassification', { activation: 'gelu' });
  const { config, model } = tiny;
  const plan = testPlan(randomSamples(config, LENGTHS), { groupSize: 2, tokensPerBatch: 20, tokensPerShard: 22 });
  const shards = { first: 0, end: plan.shards.length };
  for (const masks of [MASKS, keeping([[], [], []], [[], [], []])])
    for (const step of [2, 3]) {
      const { layer, subLayer } = placeOf(step);
      for (const patches of [[], [randomPatch(config, masks, layer, subLayer)]]) {
        const student = { masks, patches: patches.map(patchSource) };
        const own = { model, plan, planDigest: 'plan', student, layer, subLayer };
        const place = { ...own, part: 'output', weights: null } as const;
        await fresh(async (context) => {
          const sums = byName(await runRefitEquations(context, { ...place, shards }));
          // What is fitted asks for something else than what judges.
          const right = numbers([...sums.values()], 'right').map((value) => value * 1e4);
          sums.set('right', { ...tensorOf([...sums.values()], 'right'), data: Float64Array.from(right) });
          const found = await runRefit(context, {
            ...{ ...place, fit: { kind: 'sums', tensors: sums }, heldOut: { kind: 'shards', shards } },
            settings: DEFAULT_REFIT_SETTINGS,
          });
          assert.match(new TextDecoder().decode(tensorOf(found, 'report').data as Uint8Array), /"rung":"unchanged"/);
          const { engine, ops } = context;
          const told = async (own: typeof student) => {
            const weights = await context.models.student(model, masks, own.patches);
            const { attentionBias, ffnBias } = weights.layers[layer];
            const bias = engine.downloadFloat32(subLayer === 'ffn' ? ffnBias : attentionBias);
            return engine.scope(() => {
              const kernel = keptProjection(ops, weights, step);
              return [...(kernel === null ? [] : engine.downloadFloat32(kernel)), ...bias];
            });
          };
          const before = await told(student);
          const [mask, perLayer] = subLayer === 'ffn' ? [masks.neuronMask, NEURONS] : [masks.headMask, config.heads];
          const kept = keptIndices(mask, layer, perLayer);
          const [weight, bias] = ['weight', 'bias'].map((name) => tensorOf(found, name).data as Float32Array);
          const after = await told({
            masks,
            patches: [patchSource({ layer, subLayer, part: 'output', kept, weight, bias })],
          });
          assert.deepEqual(after, before, `step ${step}, ${patches.length} patches`);
        });
      }
    }
});
