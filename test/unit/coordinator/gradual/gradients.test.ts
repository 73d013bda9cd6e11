// The stage "gradients": sums in the order of the plan's tree, means over the positions that count, token gradients as blobs;
// nothing of a worker's answer is taken on trust.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { maskedStudent } from '../../../../coordinator/job/student.ts';
import { runGradients, storedGradients } from '../../../../coordinator/stages/gradual/gradients.ts';
import type { TaskSpec } from '../../../../coordinator/workers/task-spec.ts';
import { foldTree } from '../../../../pruning/fold-tree.ts';
import { denseMasks } from '../../../../pruning/masks.ts';
import { randomStream } from '../../../../pruning/random.ts';
import { decodeSafetensors } from '../../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../../shared/tensor.ts';
import { type Answer, gradualWorld } from '../../../support/gradual-world.ts';
import { received } from '../../../support/received.ts';

const STUDENT = maskedStudent(denseMasks(2, 2, 6));

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-gradients-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const shardOf = ({ request }: TaskSpec) => Number((request.gradients!.shards as { first: number }).first);
const tensor = (tensors: readonly NamedTensor[], name: string) => tensors.find((own) => own.name === name)!.data;

// Sizes from 1e-8 to 1e8: every order of adding gives other bits.
const noisy = (values: Float64Array | Float32Array) => {
  const random = randomStream(values.length, 'noise');
  for (let at = 0; at < values.length; at++) values[at] *= 10 ** (random.integer(17) - 8);
};

test('importance is folded in the order of the tree, fitted shards and judging ones', () =>
  inFolder(async (folder) => {
    const byShard = new Map<number, Float64Array>();
    const { context, sent } = gradualWorld(folder, {
      answers(task, answer) {
        const tensors = answer(task);
        const neurons = tensor(tensors, 'neuron_importance') as Float64Array;
        noisy(neurons);
        byShard.set(shardOf(task), neurons.slice());
        return tensors;
      },
    });
    const { shards, fitShards } = context.calibration.plan;
    assert.ok(shards.length > 8 && fitShards < shards.length);
    const told: number[] = [];
    const { importance } = await runGradients(context, STUDENT, (done) => told.push(done));
    assert.deepEqual(
      sent,
      shards.map((_, shard) => `gradients/${shard}`),
    );
    assert.deepEqual(
      told,
      shards.map((_, shard) => shard + 1),
    );
    const add = (a: Float64Array, b: Float64Array) => a.map((value, at) => value + b[at]);
    const fold = (first: number, end: number) => foldTree(first, end, (shard) => byShard.get(shard)!, add);
    assert.deepEqual(importance.neurons, add(fold(0, fitShards), fold(fitShards, shards.length)));
  }));

for (const [task, all] of [
  ['single-label-classification', false],
  ['question-answering', true],
] as const)
  test(`${task}: means over ${all ? 'all tokens' : 'all tokens, but first ones in the last layer'}`, () =>
    inFolder(async (folder) => {
      const values = new Map<number, Float32Array>();
      const { context } = gradualWorld(folder, {
        config: { task },
        answers(spec, answer) {
          const tensors = answer(spec);
          values.set(shardOf(spec), tensor(tensors, 'token_gradients') as Float32Array);
          return tensors;
        },
      });
      const { means, tokens } = await runGradients(context, STUDENT, () => {});
      const { shards, samples } = context.calibration.plan;
      assert.ok(shards.some(({ batches }) => batches[0].members.length > 1));
      for (let subLayer = 0; subLayer < 4; subLayer++) {
        const counted: number[] = [];
        for (const [shard, { batches }] of shards.entries()) {
          const own = values.get(shard)!;
          let at = (subLayer * own.length) / 4;
          for (const sample of batches.flatMap(({ members }) => [...members])) {
            const { length } = samples[sample].tokenIds;
            counted.push(...own.subarray(at, at + (all || subLayer < 2 ? length : 1)));
            at += length;
          }
        }
        const mean = counted.reduce((sum, value) => sum + value, 0) / counted.length;
        assert.ok(Math.abs(means[subLayer] - mean) < 1e-12 * mean, `sub-layer ${subLayer}`);
      }
      for (const [shard, { source, shards: span }] of (await tokens).entries()) {
        assert.deepEqual(span, { first: shard, end: shard + 1 });
        const chunks: Uint8Array[] = [];
        for await (const chunk of source.open()) chunks.push(chunk);
        const { tensors } = decodeSafetensors(Buffer.concat(chunks), 'blob');
        assert.deepEqual([...tensors.keys()], ['token_gradients']);
        assert.deepEqual(tensors.get('token_gradients')!.data, values.get(shard));
        assert.deepEqual(tensors.get('token_gradients')!.shape, [4, values.get(shard)!.length / 4]);
      }
    }));

test('a try that comes late changes nothing', () =>
  inFolder(async (folder) => {
    const expected = await runGradients(gradualWorld(folder).context, STUDENT, () => {});
    const { context, answer } = gradualWorld(folder);
    const run = context.workers.runTasks;
    Object.assign(context.workers, {
      runTasks: (tasks: readonly TaskSpec[], options: Parameters<typeof run>[1]) =>
        run(tasks, {
          ...options,
          onDone(task, result) {
            options!.onDone!(task, result);
            void received(task, answer(task));
          },
        }),
    });
    const { tokens, ...sums } = await runGradients(context, STUDENT, () => {});
    const { tokens: others, ...expectedSums } = expected;
    assert.deepEqual(sums, expectedSums);
    assert.deepEqual(
      (await tokens).map(({ source }) => source.digest),
      (await others).map(({ source }) => source.digest),
    );
  }));

test('answers of another size, that are no numbers or no squares are refused', () =>
  inFolder(async (folder) => {
    const changed = (name: string, change: (data: Float64Array) => NamedTensor['data']) => {
      const answers = (task: TaskSpec, answer: Answer) =>
        answer(task).map((own) => (own.name === name ? { ...own, ...shaped(change(own.data as Float64Array)) } : own));
      return runGradients(gradualWorld(folder, { answers }).context, STUDENT, () => {});
    };
    const shaped = (data: NamedTensor['data']) => ({ data, shape: [data.length] });
    for (const [name, change, code, text] of [
      ['head_importance', (data) => data.slice(1), 'protocol', /^gradients\/0: head_importance: got F64 of 3 elements/],
      ['token_gradients', (data) => data.slice(4), 'protocol', /^gradients\/0: token_gradients: got F32 of/],
      ['neuron_importance', (data) => data.with(2, Number.NaN), 'not_finite', /^gradients\/0: neuron_importance 2:/],
      [
        'losses',
        (data) => data.with(0, Number.POSITIVE_INFINITY),
        'not_finite',
        /^gradients\/0: losses 0: got Infinity/,
      ],
      [
        'neuron_importance',
        (data) => data.with(2, -1),
        'protocol',
        /^gradients\/0: neurons 2: got -1, expected a sum of/,
      ],
      ['token_gradients', (data) => data.with(1, -2), 'protocol', /^gradients\/0: tokens 1: got -2, expected a sum of/],
    ] as [string, (data: Float64Array) => NamedTensor['data'], string, RegExp][])
      await assert.rejects(changed(name, change), (error: { code: string; message: string }) => {
        assert.match(error.message, text);
        return error.code === code;
      });
    const huge = changed('head_importance', (data) => data.fill(1e308));
    await assert.rejects(huge, { code: 'not_finite', message: /^gradients of heads 0: got Infinity/ });
  }));

test('sums are stored; token gradients are not, and are asked for again by whoever goes on and needs them', () =>
  inFolder(async (folder) => {
    const first = gradualWorld(folder);
    const computed = await storedGradients(first.context, STUDENT, { name: 'plan/gradients' });
    const blobs = await computed.tokens();
    const shards = first.context.calibration.plan.shards.length;
    assert.equal(first.sent.length, shards, 'asked for once');
    const again = gradualWorld(folder);
    const stored = await storedGradients(again.context, STUDENT, { name: 'plan/gradients' });
    assert.deepEqual([stored.importance, stored.means], [computed.importance, computed.means]);
    assert.equal(again.sent.length, 0);
    assert.deepEqual(
      (await stored.tokens()).map(({ source }) => source.digest),
      blobs.map(({ source }) => source.digest),
    );
    await stored.tokens();
    assert.equal(again.sent.length, shards);
    assert.deepEqual(
      again.events.filter(({ kind }) => kind === 'stage-finished').map((event) => 'reused' in event && event.reused),
      [true, false],
    );
  }));
