// A GPU worker that is alone computes gradients of several shards in a task: the same bits as a shard a task, in the same blobs.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import { modelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { maskedStudent } from '../../../coordinator/job/student.ts';
import { runFisher } from '../../../coordinator/stages/fisher.ts';
import { runGradients } from '../../../coordinator/stages/gradual/gradients.ts';
import { planSamples } from '../../../coordinator/stages/plan.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { readChunks } from '../../../shared/blobs/blob-source.ts';
import { digestFile } from '../../../shared/blobs/file-digest.ts';
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import { engineWorkers } from '../../support/engine-workers.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { gradualWorld } from '../../support/gradual-world.ts';
import { HEADS, LAYERS, NEURONS, randomSamples, temporaryFolder, tinyModel } from './tiny-model.ts';

const STUDENT = maskedStudent(denseMasks(LAYERS, HEADS, NEURONS));
const SAMPLES = Array.from({ length: 60 }, (_, i) => 3 + ((5 * i) % 9));

/** A job whose workers are of a kind that they are not. @returns it, with the ids of the tasks that were sent. */
async function job(t: TestContext, kind: DeviceClass['kind'], { count = 1, groupSize = 2 } = {}) {
  const folder = await temporaryFolder(t);
  const tiny = await tinyModel(t, 'Bert', 'SequenceClassification');
  const { workers, close } = engineWorkers(path.join(folder, 'blobs'), count, { ...FAKE_DEVICE, kind });
  t.after(close);
  const checkpoint = await openCheckpoint(tiny.folder);
  t.after(() => checkpoint.close());
  const sent: string[] = [];
  const context: JobContext = {
    ...gradualWorld(folder).context,
    checkpoint,
    workers: {
      ...workers,
      runTasks(tasks, options) {
        sent.push(...tasks.map(({ id }) => id));
        return workers.runTasks(tasks, options);
      },
    },
    model: await modelBlobs(checkpoint, {
      place: async (file) => ({ ...(await digestFile(file)), open: () => readChunks(file) }),
    }),
    // One plan for all: made for the class that tests are of.
    calibration: planSamples(randomSamples(tiny.config, SAMPLES), {
      ...{ config: tiny.config, device: FAKE_DEVICE, groupSize, tokensPerBatch: 24, heldOut: true },
    }),
  };
  return { folder, context, sent };
}

test('gradients of a step: sums, means and the blobs of token gradients', async (t) => {
  const one = await job(t, 'cpu');
  const several = await job(t, 'gpu');
  const { shards, fitShards } = one.context.calibration.plan;
  assert.deepEqual([shards.length, fitShards], [16, 12]);
  const told: number[] = [];
  const expected = await runGradients(one.context, STUDENT, () => {});
  const found = await runGradients(several.context, STUDENT, (done) => told.push(done));
  assert.deepEqual(found.importance, expected.importance);
  assert.deepEqual(found.means, expected.means);
  const blobs = async ({ tokens }: typeof found) => (await tokens).map(({ shards, source }) => [shards, source.digest]);
  assert.deepEqual(await blobs(found), await blobs(expected));
  assert.deepEqual(several.sent, ['gradients/0-4', 'gradients/4-8', 'gradients/8-12', 'gradients/12-16']);
  assert.deepEqual(told, [4, 8, 12, 16]);
  assert.equal(one.sent.length, 16);
});

test('rows of the Fisher information; of several workers each gets a shard a task', async (t) => {
  const files: Buffer[] = [];
  const counts: number[] = [];
  for (const [kind, count] of [
    ['cpu', 1],
    ['gpu', 1],
    ['gpu', 2],
  ] as const) {
    const { folder, context, sent } = await job(t, kind, { count, groupSize: 10 });
    const file = path.join(folder, 'fisher');
    await runFisher(context, file, () => {});
    files.push(await readFile(file));
    counts.push(sent.length);
  }
  assert.ok(files[0].equals(files[1]) && files[0].equals(files[2]));
  assert.deepEqual(counts, [6, 2, 6]);
});
