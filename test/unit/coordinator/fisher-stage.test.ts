// The stage "fisher" in its Gram form: few results at a time, the bits of the plan's tree, whatever comes first.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import { runFisher } from '../../../coordinator/stages/fisher.ts';
import type { RunOptions } from '../../../coordinator/workers/task-run.ts';
import type { TaskResult, TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import { type FisherGrams, packedLength } from '../../../pruning/fisher.ts';
import { foldTree } from '../../../pruning/fold-tree.ts';
import { randomStream } from '../../../pruning/random.ts';
import { blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { mergeGrams } from '../../support/merge-fisher.ts';

const [LAYERS, HEADS, NEURONS, SHARDS] = [2, 2, 3, 11];
const GRAM_BYTES = 8 * LAYERS * (packedLength(HEADS) + packedLength(NEURONS));
const random = randomStream(1, 'fisher');
// Sizes from 1e-8 to 1e8 of both signs: every order of adding gives other bits.
const noise = (length: number) =>
  new Float64Array(length).map(() => (random.uniform() - 0.5) * 10 ** random.integer(17));
const shards = Array.from({ length: SHARDS }, () => ({
  heads: noise(LAYERS * packedLength(HEADS)),
  neurons: noise(LAYERS * packedLength(NEURONS)),
}));

function resultOf(shard: number): TaskResult {
  const { heads, neurons } = shards[shard];
  return new Map([
    ['losses', { name: 'losses', dtype: 'F32', shape: [1], data: new Float32Array(1) }],
    ['head_gram', { name: 'head_gram', dtype: 'F64', shape: [heads.length], data: heads.slice() }],
    ['neuron_gram', { name: 'neuron_gram', dtype: 'F64', shape: [neurons.length], data: neurons.slice() }],
  ]) as TaskResult;
}

function gramsOf(shard: number): FisherGrams {
  const split = (data: Float64Array, size: number) =>
    Array.from({ length: LAYERS }, (_, layer) => data.subarray(layer * size, (layer + 1) * size));
  const { heads, neurons } = shards[shard];
  return {
    form: 'gram',
    headGrams: split(heads, packedLength(HEADS)),
    neuronGrams: split(neurons, packedLength(NEURONS)),
  };
}

/** Runs the stage with workers that end their tasks in another order than they were given. */
async function run(mostSumBytes: number) {
  const ends: (() => void)[] = [];
  let most = 0;
  const results: TaskResult[] = [];
  const runTasks = (tasks: readonly TaskSpec[], { onDone }: RunOptions = {}) =>
    Promise.all(
      tasks.map(async (task) => {
        await new Promise<void>((end) => {
          ends.push(end);
          most = Math.max(most, ends.length);
          // When everything that will be asked for is there, the one that was asked for last ends first.
          setImmediate(() => ends.pop()?.());
        });
        const result = resultOf(task.request.fisher!.shards!.first!);
        results.push(result);
        onDone?.(task, result);
        return result;
      }),
    );
  const blob = blobOfBytes(new Uint8Array());
  const context = {
    calibration: {
      blob,
      plan: {
        // More rows than a layer has neurons: Grams.
        samples: { length: SHARDS },
        groupSize: 1,
        shards: shards.map((_, shard) => ({ firstSample: shard, endSample: shard + 1 })),
      },
    },
    model: { ref: {}, blobs: [] },
    checkpoint: { config: { layers: LAYERS, heads: HEADS, intermediateSize: NEURONS } },
    workers: { runTasks },
    signal: new AbortController().signal,
    mostSumBytes,
  } as unknown as JobContext;
  const progress: number[] = [];
  const fisher = await runFisher(context, (done) => progress.push(done));
  assert.deepEqual(
    progress,
    shards.map((_, i) => i + 1),
  );
  assert.ok(
    results.every(({ size }) => size === 0),
    'no result is held twice',
  );
  return { fisher, most };
}

test('Grams are folded in the order of the tree, with as many on their way as fit', async () => {
  const expected = foldTree(0, SHARDS, gramsOf, mergeGrams);
  for (const [bytes, most] of [
    [Number.POSITIVE_INFINITY, SHARDS],
    [3 * GRAM_BYTES, 3],
    [0, 2],
  ] as const) {
    const ran = await run(bytes);
    assert.deepEqual(ran.fisher, expected);
    assert.equal(ran.most, most);
  }
});
