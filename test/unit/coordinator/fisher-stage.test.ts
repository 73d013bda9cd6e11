// The stage "fisher": results go into a file in parts, checked as they come, in the order of the plan's tree, whatever comes
// first and however often. Nothing stays behind.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fisherImportance, rearrangeFromFile } from '../../../coordinator/job/fisher-file.ts';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import { runFisher } from '../../../coordinator/stages/fisher.ts';
import type { RunOptions } from '../../../coordinator/workers/task-run.ts';
import type { TaskResult, TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import type { Workers } from '../../../coordinator/workers/workers.ts';
import { diagonalImportance, type FisherGrams, packedLength } from '../../../pruning/fisher.ts';
import { cutTree, foldTree, type ShardSpan } from '../../../pruning/fold-tree.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { rearrangeMasks } from '../../../pruning/rearrange.ts';
import { blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { readFisherFile, writeFisherFile } from '../../support/fisher-files.ts';
import { mergeGrams } from '../../support/merge-fisher.ts';

const [LAYERS, HEADS, NEURONS, SHARDS] = [2, 2, 12, 37];
const random = randomStream(1, 'fisher');
// Sizes from 1e-8 to 1e8 of both signs: every order of adding gives other bits.
const noise = (length: number) =>
  new Float64Array(length).map(() => (random.uniform() - 0.5) * 10 ** random.integer(17));

let folder = '';
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-fisher-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const f64 = (name: string, data: Float64Array): NamedTensor => ({ name, dtype: 'F64', shape: [data.length], data });
const f32 = (name: string, data: Float32Array): NamedTensor => ({ name, dtype: 'F32', shape: [data.length], data });

/** What a task answers for a span of shards, but for its losses. */
type Answer = (span: ShardSpan) => NamedTensor[];

/** Sends tensors as a stream does: a few elements at a time, each awaited. */
async function send(task: TaskSpec, tensors: readonly NamedTensor[], elements: number): Promise<TaskResult> {
  const sink = task.sink!();
  const result: TaskResult = new Map();
  for (const tensor of tensors) {
    const write = sink.open(tensor);
    if (write === null) result.set(tensor.name, tensor);
    else
      for (let at = 0; at < tensor.data.length; at += elements) await write(tensor.data.slice(at, at + elements), at);
  }
  sink.end();
  return result;
}

/** A job of a row a shard. */
function contextOf(neurons: number, runTasks: Workers['runTasks']): JobContext {
  return {
    calibration: {
      blob: blobOfBytes(new Uint8Array()),
      plan: {
        samples: { length: SHARDS },
        groupSize: 1,
        shards: Array.from({ length: SHARDS }, (_, shard) => ({ firstSample: shard, endSample: shard + 1 })),
      },
    },
    model: { ref: {}, blobs: [] },
    checkpoint: { config: { layers: LAYERS, heads: HEADS, intermediateSize: neurons } },
    workers: { runTasks },
    signal: new AbortController().signal,
  } as unknown as JobContext;
}

/** Runs the stage with workers that end their tasks in another order than they were given, and repeat some. */
async function run(answer: Answer): Promise<string> {
  const file = path.join(folder, 'sum');
  const late: Promise<unknown>[] = [];
  const runTasks = async (tasks: readonly TaskSpec[], { onDone }: RunOptions = {}) => {
    const order = random.permutation(tasks.length);
    for (const at of order) {
      const task = tasks[at];
      const span = task.request.fisher!.shards as ShardSpan;
      const tensors = [...answer(span), f32('losses', new Float32Array(span.end - span.first))];
      // Another try of the same task is on its way while this one is taken, and comes too late.
      const second = send(task, tensors, 2).catch(() => null);
      onDone?.(task, await send(task, tensors, 1 + (at % 5)));
      late.push(second);
    }
    return [];
  };
  const context = contextOf(NEURONS, runTasks);
  const progress: number[] = [];
  try {
    await runFisher(context, file, (done) => progress.push(done));
  } finally {
    await Promise.all(late);
  }
  assert.equal(progress.at(-1), SHARDS, 'all shards are counted');
  assert.deepEqual(await readdir(folder), ['sum'], 'nothing else is left');
  return file;
}

/** At most a quarter as many rows as a layer has neurons: the 16 nodes of the tree's first cut have up to 4. */
const NODES = cutTree(0, SHARDS, 19);
const grams = new Map(
  NODES.map((node) => [
    node.first,
    { heads: noise(LAYERS * packedLength(HEADS)), neurons: noise(LAYERS * packedLength(NEURONS)) },
  ]),
);
const gramAnswer: Answer = ({ first }) => {
  const { heads, neurons } = grams.get(first)!;
  return [f64('head_gram', heads.slice()), f64('neuron_gram', neurons.slice())];
};

test('Grams are added in the order of the tree over nodes that the plan alone decides', async () => {
  const gramsOf = (node: number): FisherGrams => {
    const split = (data: Float64Array, size: number) =>
      Array.from({ length: LAYERS }, (_, layer) => data.slice(layer * size, (layer + 1) * size));
    const { heads, neurons } = grams.get(NODES[node].first)!;
    return {
      form: 'gram',
      headGrams: split(heads, packedLength(HEADS)),
      neuronGrams: split(neurons, packedLength(NEURONS)),
    };
  };
  const expected = foldTree(0, NODES.length, gramsOf, mergeGrams);
  for (let round = 0; round < 5; round++) {
    const file = await run(gramAnswer);
    assert.deepEqual(await readFisherFile(file, LAYERS), expected);
    assert.deepEqual(
      await fisherImportance(file, { layers: LAYERS, heads: HEADS, neurons: NEURONS }),
      diagonalImportance(expected, LAYERS, HEADS, NEURONS),
    );
    await rm(file);
  }
});

test('a node has at most a row for four neurons of a layer, and no more nodes than that takes', async () => {
  const rowsOf = (nodes: readonly ShardSpan[]) => Math.max(...nodes.map(({ first, end }) => end - first));
  const asked: ShardSpan[] = [];
  const file = await run((span) => {
    asked.push(span);
    return gramAnswer(span);
  });
  await rm(file);
  assert.equal(rowsOf(asked), NEURONS / 4 - 1, 'the tree has nodes of 4 and of 2 here');
  assert.ok(rowsOf(cutTree(0, SHARDS, NODES.length - 1)) > NEURONS / 4);
  assert.deepEqual(
    asked.sort((a, b) => a.first - b.first),
    NODES,
  );
});

test('results that are not what was asked for are refused, and leave nothing', async () => {
  const heads = () => f64('head_gram', new Float64Array(LAYERS * packedLength(HEADS)));
  const neurons = (length = LAYERS * packedLength(NEURONS)) => f64('neuron_gram', new Float64Array(length));
  const length = LAYERS * packedLength(NEURONS);
  const spoiled = neurons();
  spoiled.data[31] = Number.NaN;
  for (const [tensors, code, text] of [
    [[heads()], 'protocol', /^fisher\/\d+(-\d+)?: neuron_gram: got nothing, expected F64 of 156$/],
    [[heads(), neurons(length - 1)], 'protocol', /neuron_gram: got F64 of 155 elements, expected F64 of 156$/],
    [[heads(), f32('neuron_gram', new Float32Array(length))], 'protocol', /got F32 of 156 elements/],
    [[heads(), spoiled], 'not_finite', /neuron_gram 31: got NaN, expected a finite number$/],
  ] as const) {
    await assert.rejects(
      run(() => [...tensors]),
      (error: { code: string; message: string }) => error.code === code && text.test(error.message),
    );
    assert.deepEqual(await readdir(folder), []);
  }
});

test('rows go to their place, and are read a layer at a time', async () => {
  // A row a shard, no more rows than neurons: groups of samples would do the same.
  const [rows, neurons] = [SHARDS, 40];
  const width = LAYERS * (HEADS + neurons);
  const values = new Float32Array(rows * width).map(() => random.uniform() - 0.5);
  const file = path.join(folder, 'sum');
  const runTasks = async (tasks: readonly TaskSpec[], { onDone }: RunOptions = {}) => {
    for (const at of random.permutation(tasks.length)) {
      const { first } = tasks[at].request.fisher!.shards as ShardSpan;
      const tensors = [
        f32('rows', values.slice(first * width, (first + 1) * width)),
        f32('losses', new Float32Array(1)),
      ];
      onDone?.(tasks[at], await send(tasks[at], tensors, 7));
    }
    return [];
  };
  const context = contextOf(neurons, runTasks);
  await runFisher(context, file, () => {});
  const fisher = { form: 'rows' as const, rows, values };
  assert.deepEqual(await readFisherFile(file, LAYERS), fisher);
  assert.deepEqual(
    await fisherImportance(file, { layers: LAYERS, heads: HEADS, neurons }),
    diagonalImportance(fisher, LAYERS, HEADS, neurons),
  );
  const masks = denseMasks(LAYERS, HEADS, neurons);
  for (let i = 0; i < masks.neuronMask.length; i += 2) masks.neuronMask[i] = 0;
  assert.deepEqual(await rearrangeFromFile(file, masks), rearrangeMasks(fisher, masks));
  await assert.rejects(fisherImportance(file, { layers: LAYERS, heads: HEADS, neurons: neurons + 1 }), {
    code: 'shape_mismatch',
    message: `${file}: rows: got F32 [37,84], expected F32 [rows,86]`,
  });
  await rm(file);
});

test('rows that are too many to be read at once are read a sub-layer at a time, and give the same masks', async () => {
  const neurons = 1100;
  const rows = 2000; // 17.6 MB
  const values = new Float32Array(rows * LAYERS * (HEADS + neurons)).map(() => random.uniform() - 0.5);
  const fisher = { form: 'rows' as const, rows, values };
  const file = await writeFisherFile(path.join(folder, 'many-rows.safetensors'), fisher);
  const masks = denseMasks(LAYERS, HEADS, neurons);
  masks.headMask.set([0], 1);
  masks.neuronMask.set([0, 0, 0]);
  masks.neuronMask.set([0, 0, 0, 0], neurons);
  const rearranged = await rearrangeFromFile(file, masks);
  assert.deepEqual(rearranged, rearrangeMasks(fisher, masks));
  assert.notDeepEqual(rearranged.neuronMask, masks.neuronMask);
  await rm(file);
});
