// Rearrangement in the steps of a trajectory over made-up workers: by the gradients of each step's own student, among what
// remains; the same by any number of workers and in any number of runs. What workers answer is test/integration/engine.
import assert from 'node:assert/strict';
import { access, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { rearrangeFromFile } from '../../../../coordinator/job/fisher-file.ts';
import { masksFromTensors } from '../../../../coordinator/job/mask-set.ts';
import { runFisher } from '../../../../coordinator/stages/fisher.ts';
import type { TaskSpec } from '../../../../coordinator/workers/task-spec.ts';
import type { FisherInformation } from '../../../../pruning/fisher.ts';
import { denseMasks, type Masks } from '../../../../pruning/masks.ts';
import { randomStream } from '../../../../pruning/random.ts';
import { rearrangeMasks } from '../../../../pruning/rearrange.ts';
import { type OpenVariables, openVariables } from '../../../../pruning/search-remaining.ts';
import { EspalierError } from '../../../../shared/errors.ts';
import type { NamedTensor } from '../../../../shared/tensor.ts';
import { type Answer, type GradualWorld, gradualWorld } from '../../../support/gradual-world.ts';
import { gramOfRows } from '../../../support/plain-grams.ts';
import { resultOf, type TrajectoryOptions, trajectoryWorlds } from '../../../support/trajectory-world.ts';

const worlds = trajectoryWorlds('rearrange-step');

const [LAYERS, HEADS, SAMPLES] = [2, 4, 20];

/** Rows of the samples at a student: eighths, so that sums are exact in every order, and what goes changes all of them. */
function rowsAt({ headMask, neuronMask }: OpenVariables, neurons: number): Float32Array {
  const kept = [...headMask, ...neuronMask];
  const random = randomStream(3, kept.join(''));
  // The most important head of a layer is so by far; neurons are alike.
  const sizes = kept.map((_, variable) =>
    variable < LAYERS * HEADS ? 4 * (1 + (variable % HEADS)) : 4 + ((variable * 7) % 5),
  );
  const width = LAYERS * (HEADS + neurons);
  return new Float32Array(SAMPLES * width).map(
    (_, at) => (kept[at % width] * sizes[at % width] * (random.integer(17) - 8)) / 8,
  );
}

/** The workers' answers, importance made of the rows. */
const answersWith =
  (neurons: number) =>
  (task: TaskSpec, answer: Answer): NamedTensor[] => {
    const width = LAYERS * (HEADS + neurons);
    const { fisher, gradients } = task.request;
    if (!fisher && !gradients) return answer(task);
    // A request has bytes for masks; without a student it means the dense model.
    const student = ((fisher ?? gradients)!.student as OpenVariables | undefined) ?? denseMasks(LAYERS, HEADS, neurons);
    const span = (fisher ?? gradients)!.shards as { first: number; end: number };
    const { shards } = gradualWorld(worlds.at('plan')).context.calibration.plan;
    const [first, end] = [shards[span.first].firstSample, shards[span.end - 1].endSample];
    const values = rowsAt(student, neurons).subarray(first * width, end * width);
    const rows = end - first;
    if (gradients) {
      const sums = new Float64Array(width);
      values.forEach((value, at) => {
        sums[at % width] += value * value;
      });
      const importance: Record<string, Float64Array> = {
        head_importance: sums.subarray(0, LAYERS * HEADS),
        neuron_importance: sums.subarray(LAYERS * HEADS),
      };
      return answer(task).map((own) => ({ ...own, data: importance[own.name] ?? own.data }));
    }
    assert.equal(fisher!.bySample, true);
    const losses: NamedTensor = { name: 'losses', dtype: 'F32', shape: [rows], data: new Float32Array(rows) };
    if (!fisher!.gram) return [losses, { name: 'rows', dtype: 'F32', shape: [rows, width], data: values.slice() }];
    const grams = gramOfRows({ form: 'rows', rows, values }, { layers: LAYERS, heads: HEADS, neurons });
    const joined = (name: string, parts: readonly Float64Array[]): NamedTensor => {
      const data = Float64Array.from(parts.flatMap((part) => [...part]));
      return { name, dtype: 'F64', shape: [data.length], data };
    };
    return [losses, joined('head_gram', grams.headGrams), joined('neuron_gram', grams.neuronGrams)];
  };

/** @param options.neurons of a layer: more than samples for rows, fewer for Grams. */
function open({ neurons = 40, gradual, ...options }: TrajectoryOptions & { neurons?: number } = {}) {
  const world = worlds.open({
    ...{ config: { heads: HEADS, layers: LAYERS, intermediateSize: neurons }, answers: answersWith(neurons) },
    ...{ gradual: { rearrangeSteps: 'on', ...gradual }, ...options },
  });
  return { ...world, neurons };
}

const fisherTasks = ({ sent }: GradualWorld) => sent.filter((id) => id.startsWith('fisher/')).length;

async function storedMasks({ context }: GradualWorld, name: string): Promise<Masks> {
  return masksFromTensors((await context.home.readTensors(`plan/gradual-macs/${name}`))!.tensors);
}

const layerCounts = ({ headMask, neuronMask }: Masks, neurons: number) =>
  [
    [headMask, HEADS],
    [neuronMask, neurons],
  ].map(([mask, size]) =>
    [0, 1].map((layer) =>
      (mask as Uint8Array)
        .subarray(layer * (size as number), (layer + 1) * (size as number))
        .reduce((sum, bit) => sum + bit, 0),
    ),
  );

for (const [form, neurons] of [
  ['rows', 40],
  ['Grams', 19],
] as const)
  test(`${form}: each step's masks are the search's, rearranged by its student among what remains`, async () => {
    const world = open({ neurons });
    const shares = [0.8, 0.65, 0.5, 0.4];
    const pruned = await world.trajectory.prune(0.4);
    const sizes = { layers: LAYERS, heads: HEADS, neurons };
    let student = denseMasks(LAYERS, HEADS, neurons);
    let exchanged = 0;
    for (const [i, share] of shares.entries()) {
      const name = i === 0 ? 'plan/gradual/gradients' : `plan/gradual-macs/${shares[i - 1]}/gradients`;
      const { tensors } = (await world.context.home.readTensors(name))!;
      const importance = {
        heads: tensors.get('head_importance')!.data as Float64Array,
        neurons: tensors.get('neuron_importance')!.data as Float64Array,
      };
      const searched = await storedMasks(world, `${share}/masks`);
      const rearranged = await storedMasks(world, `${share}/rearranged`);
      const fisher = { form: 'rows' as const, rows: SAMPLES, values: rowsAt(student, neurons) };
      const of: FisherInformation = form === 'rows' ? fisher : gramOfRows(fisher, sizes);
      assert.deepEqual(rearranged, rearrangeMasks(of, searched, openVariables(importance, student)), `${share}`);
      assert.deepEqual(layerCounts(rearranged, neurons), layerCounts(searched, neurons));
      assert.ok(rearranged.neuronMask.every((bit, at) => bit <= student.neuronMask[at]));
      for (let layer = 0; layer < LAYERS; layer++) {
        const heads = importance.heads.subarray(layer * HEADS, (layer + 1) * HEADS);
        assert.equal(rearranged.headMask[layer * HEADS + heads.indexOf(Math.max(...heads))], 1, 'the guard');
      }
      if (rearranged.neuronMask.some((bit, at) => bit !== searched.neuronMask[at])) exchanged++;
      student = rearranged;
    }
    assert.ok(exchanged > 1, `${exchanged} steps exchanged neurons`);
    assert.deepEqual(pruned.masks, student);
    assert.ok(pruned.steps!.every(({ seconds }) => seconds.rearrange! >= 0));
    assert.ok(world.tasks.every(({ request }) => !request.fisher || request.fisher.gram === (form === 'Grams')));
    const sentPatches = world.tasks.filter(({ request }) => request.fisher).map(({ blobs }) => blobs.length);
    assert.ok(sentPatches.at(-1)! > sentPatches[0], 'patches of the student go with the task');
  });

test("the first step is the paper's rearrangement of single samples, where that keeps the guards", async () => {
  // Every share is a first step.
  const world = open({ gradual: { steps: 'one' } });
  const { context, search, trajectory } = world;
  const file = worlds.at('paper');
  // Of the dense model, without a student: what --method paper --fisher-group 1 asks for.
  const dense = denseMasks(LAYERS, HEADS, world.neurons);
  const paper = gradualWorld(worlds.at('paper-home'), {
    config: context.checkpoint.config,
    answers: answersWith(world.neurons),
  });
  await runFisher(paper.context, file, () => {}, { bySample: true });
  assert.ok(paper.tasks.every(({ request }) => request.fisher!.student === undefined));
  const importance = openedImportance(rowsAt(dense, world.neurons), world.neurons);
  let rearranged = 0;
  const guards = dense.headMask.map((bit, head) => bit - openVariables(importance, dense).headMask[head]);
  for (const share of [0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5]) {
    const searched = search(share, importance);
    const expected = await rearrangeFromFile(file, searched);
    const keepsGuards = ({ headMask }: Masks) => guards.every((bit, head) => bit <= headMask[head]);
    if (!keepsGuards(searched) || !keepsGuards(expected)) continue;
    const found = await trajectory.masks(share);
    assert.deepEqual(found, expected, `${share}`);
    if (found.neuronMask.some((bit, at) => bit !== searched.neuronMask[at])) rearranged++;
  }
  assert.ok(rearranged > 1, `${rearranged} are rearranged`);
  await world.rearrangement!.close();
});

function openedImportance(rows: Float32Array, neurons: number) {
  const width = LAYERS * (HEADS + neurons);
  const sums = new Float64Array(width);
  rows.forEach((value, at) => {
    sums[at % width] += value * value;
  });
  return { heads: sums.slice(0, LAYERS * HEADS), neurons: sums.slice(LAYERS * HEADS) };
}

test('the same with several workers, in any order and ended anywhere; gradients of a student once, and of one at a time', async () => {
  const world = open();
  const { shards } = world.context.calibration.plan;
  const shares = [0.65, 0.55, 0.6];
  const expected = new Map<number, ReturnType<typeof resultOf>>();
  for (const share of shares) expected.set(share, resultOf(await world.trajectory.prune(share)));
  // Of the dense model, and of the students at 0.8 and 0.65, where both branches start.
  assert.equal(fisherTasks(world), 3 * shards.length);
  const scratch = path.join(await world.context.home.scratch(), 'step-fisher.safetensors');
  await access(scratch);
  await world.rearrangement!.close();
  const left = await readdir(path.dirname(scratch));
  assert.ok(!left.some((name) => name.startsWith('step-fisher')));

  const several = open({ workers: 3 });
  for (const share of [...shares].reverse())
    assert.deepEqual(resultOf(await several.trajectory.prune(share)), expected.get(share), `${share}`);

  for (let end = 3; end < 4 * shards.length; end += 17) {
    const at = worlds.at(`ended-${end}`);
    let sent = 0;
    const answers: ReturnType<typeof answersWith> = (task, answer) => {
      if (sent++ === end) throw new EspalierError('no_workers', 'no worker is left');
      return answersWith(40)(task, answer);
    };
    await assert.rejects(open({ at, answers }).trajectory.prune(0.65), { code: 'no_workers' });
    await rm(path.join(at, 'scratch'), { recursive: true, force: true });
    assert.deepEqual(resultOf(await open({ at }).trajectory.prune(0.65)), expected.get(0.65), `ended at ${end}`);
    // Masks that are there ask for no gradients.
    const again = open({ at });
    await again.trajectory.prune(0.65);
    assert.deepEqual(again.sent, []);
  }
});
