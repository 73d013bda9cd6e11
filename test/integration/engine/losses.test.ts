// Losses and their gradients on the device, against the float64 formulas sample by sample: every task, with padding and at
// its edges.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TaskKind } from '../../../checkpoint/model-config.ts';
import { randomStream } from '../../../pruning/random.ts';
import { PackedUpload, unpack } from '../../../worker/engine/packed-upload.ts';
import { packBatch, unpackBatch } from '../../../worker/model/device-batch.ts';
import { batchLosses, packTargets } from '../../../worker/model/losses.ts';
import { testContext } from '../../support/engine.ts';
import { referenceLoss } from '../../support/reference-losses.ts';
import { assertWithin, largestDifference } from './results.ts';

/** Gradients are at most 1 in size and are rounded to float32 once, losses are float64 up to their last rounding here. */
const GRADIENT_TOLERANCE = 6e-8;
const LOSS_TOLERANCE = 1e-12;

interface Case {
  readonly task: TaskKind;
  readonly outputs: number;
  /** Of each sample. */
  readonly lengths: readonly number[];
  readonly targets: readonly (readonly number[])[];
  /** Left out: drawn, some of them large. By sample, unpadded. */
  readonly logits?: readonly (readonly number[])[];
}

const CASES: Record<string, Case> = {
  'single label': {
    ...{ task: 'single-label-classification', outputs: 3, lengths: [4, 2, 7, 1] },
    targets: [[1], [0], [2], [2]],
  },
  'one class alone': { task: 'single-label-classification', outputs: 1, lengths: [2, 2], targets: [[0], [0]] },
  'single label, exponentials that overflow': {
    ...{ task: 'single-label-classification', outputs: 2, lengths: [1, 1], targets: [[0], [1]] },
    logits: [
      [1000, 0],
      [1000, 0],
    ],
  },
  'multi-label': {
    ...{ task: 'multi-label-classification', outputs: 3, lengths: [3, 5] },
    targets: [
      [1, 0, 0.5],
      [0, 0, 1],
    ],
  },
  'multi-label, exponentials that overflow': {
    ...{ task: 'multi-label-classification', outputs: 2, lengths: [1], targets: [[1, 1]] },
    logits: [[1000, -1000]],
  },
  regression: {
    ...{ task: 'regression', outputs: 2, lengths: [3, 5] },
    targets: [
      [1.5, -1],
      [0.25, 7],
    ],
  },
  'regression, one output': { task: 'regression', outputs: 1, lengths: [3], targets: [[-2]] },
  tokens: {
    ...{ task: 'token-classification', outputs: 4, lengths: [5, 2, 1] },
    targets: [[-100, 3, 0, -100, 2], [1, 1], [0]],
  },
  'tokens none of which counts': {
    ...{ task: 'token-classification', outputs: 2, lengths: [3, 2] },
    targets: [
      [-100, -100, -100],
      [1, -100],
    ],
  },
  'question answering': {
    ...{ task: 'question-answering', outputs: 2, lengths: [6, 2, 9, 1] },
    targets: [
      [0, 5],
      [1, 1],
      [8, 3],
      [0, 0],
    ],
  },
  'question answering without padding': {
    ...{ task: 'question-answering', outputs: 2, lengths: [3, 3] },
    targets: [
      [2, 0],
      [1, 2],
    ],
  },
};

for (const [name, { task, outputs, lengths, targets, logits: given }] of Object.entries(CASES))
  test(`${name}: losses and gradients`, () => {
    const { engine, ops } = testContext();
    const byToken = task === 'token-classification' || task === 'question-answering';
    const config = {
      task,
      outputs,
      maxTokens: 16,
      vocabularySize: 9,
      typeVocabularySize: 2,
      positionOffset: 0,
      padTokenId: 0,
    };
    const random = randomStream(1, name);
    const samples = lengths.map((length, i) => ({
      tokenIds: new Int32Array(length).fill(1),
      typeIds: new Uint8Array(length),
      target: Float32Array.from(targets[i]),
    }));
    const tokens = Math.max(...lengths);
    const rows = byToken ? tokens : 1;
    // Padding has logits, too: larger than all others.
    const logits = new Float32Array(lengths.length * rows * outputs).fill(60);
    const own = lengths.map((length, i) => {
      const count = (byToken ? length : 1) * outputs;
      const values = Float32Array.from({ length: count }, (_, j) => given?.[i][j] ?? (random.uniform() - 0.5) * 30);
      logits.set(values, i * rows * outputs);
      return Float64Array.from(values);
    });
    const expected = own.map((values, i) => referenceLoss({ task, outputs }, values, targets[i]));
    const gradient = new Float64Array(logits.length);
    expected.forEach((value, i) => {
      gradient.set(value.gradient, i * rows * outputs);
    });

    const before = engine.tensorCount;
    const run = () =>
      engine.scope(() => {
        const upload = new PackedUpload();
        const batch = { members: Int32Array.from(samples.keys()), tokens };
        const packed = packBatch(upload, samples, batch, config);
        const part = packTargets(upload, samples, batch, config);
        const sent = upload.send(ops);
        const z = engine.upload(logits, [lengths.length * rows, outputs]);
        const found = batchLosses(ops, config, z, unpack(ops, sent, part), unpackBatch(ops, sent, packed));
        assert.deepEqual(found.gradient.shape, z.shape);
        return { losses: engine.downloadFloat64(found.losses), gradient: engine.downloadFloat32(found.gradient) };
      });
    const found = run();
    const constants = engine.tensorCount - before;
    run();
    assert.equal(engine.tensorCount - before, constants, 'tensors but constants');
    assertWithin(largestDifference(found.gradient, gradient), GRADIENT_TOLERANCE, 'gradients');
    expected.forEach(({ loss }, i) => {
      assertWithin(Math.abs(found.losses[i] - loss) / Math.max(1, Math.abs(loss)), LOSS_TOLERANCE, `loss ${i}`);
    });
  });
