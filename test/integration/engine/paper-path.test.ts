// One step of gradual pruning to one budget, with scales and without weights, is the paper's path: the search's masks from single
// samples, rearranged by them or not, and the scales of the stage "tune" with the dense model as teacher.
//
// Both paths compute importance from the same float32 gradients, whose squares are added in float64 in different orders. They agree
// to 1e-12 of the largest value (1e-16 was seen), which may change masks only where two variables are that close.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { gradualSettings } from '../../../coordinator/gradual-settings.ts';
import { modelCosts } from '../../../coordinator/job/budget.ts';
import { rearrangeFromFile } from '../../../coordinator/job/fisher-file.ts';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import { modelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { macsSearch } from '../../../coordinator/stages/find-masks.ts';
import { storedFisher } from '../../../coordinator/stages/fisher.ts';
import { StepRearrangement } from '../../../coordinator/stages/gradual/rearrange-step.ts';
import { DenseModel, Trajectory } from '../../../coordinator/stages/gradual/trajectory.ts';
import { planSamples } from '../../../coordinator/stages/plan.ts';
import { runTune } from '../../../coordinator/stages/tune.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { openVariables } from '../../../pruning/search-remaining.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import { readChunks } from '../../../shared/blobs/blob-source.ts';
import { digestFile } from '../../../shared/blobs/file-digest.ts';
import { engineWorkers } from '../../support/engine-workers.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { gradualWorld } from '../../support/gradual-world.ts';
import { assertWithin, largestGap } from './results.ts';
import { HEADS, LAYERS, NEURONS, randomSamples, temporaryFolder, tinyModel } from './tiny-model.ts';

const IMPORTANCE = 1e-12;

for (const head of ['SequenceClassification', 'QuestionAnswering'] as const)
  test(`${head}: masks of single samples, rearranged or not, and scales to the bit`, async (t) => {
    const folder = await temporaryFolder(t);
    const tiny = await tinyModel(t, 'Bert', head);
    const { workers, close } = engineWorkers(path.join(folder, 'blobs'));
    t.after(close);
    const checkpoint = await openCheckpoint(tiny.folder);
    t.after(() => checkpoint.close());
    const lengths = Array.from({ length: 48 }, (_, i) => 3 + ((5 * i) % 9));
    const samples = randomSamples(tiny.config, lengths);
    const context: JobContext = {
      ...gradualWorld(folder).context,
      ...{ checkpoint, workers },
      model: await modelBlobs(checkpoint, {
        place: async (file) => ({ ...(await digestFile(file)), open: () => readChunks(file) }),
      }),
      calibration: planSamples(samples, {
        ...{ config: tiny.config, device: FAKE_DEVICE, groupSize: 1, tokensPerBatch: 24, heldOut: true },
      }),
    };
    const searched = { search: 'paper', neuronMultiple: 1 } as const;
    const costs = modelCosts(tiny.config, 7, { budgets: [], ...searched });
    const search = macsSearch(tiny.config, costs, searched);
    const budget = 0.75;

    const fisher = await storedFisher(context, 'fisher');
    t.after(() => fisher.close());
    const paper = search(budget, fisher.importance);
    const dense = denseMasks(LAYERS, HEADS, NEURONS);
    const tune = (student: Masks) =>
      runTune(
        context,
        { teacher: dense, student, settings: DEFAULT_TUNING_SETTINGS, resumed: null },
        { store: async () => {} },
      );
    const tuned = await tune(paper);

    const denseModel = new DenseModel(context, 'plan');
    const settings = gradualSettings({ steps: 'one', refit: 'scales', positionWeights: 'equal' });
    const parts = { cost: 'macs', search, splits: null, costs, dense: denseModel, settings } as const;
    const trajectory = new Trajectory(context, { ...parts, prefix: 'plan', rearrangement: null });
    const found = await trajectory.prune(budget);
    const { importance } = await denseModel.gradients();
    for (const what of ['heads', 'neurons'] as const)
      assertWithin(largestGap(importance[what], fisher.importance[what]), IMPORTANCE, what);
    // Without this the guard of the gradual search would have something to keep.
    for (let layer = 0; layer < LAYERS; layer++)
      assert.ok(paper.headMask.subarray(layer * HEADS, (layer + 1) * HEADS).includes(1), `layer ${layer}`);
    assert.deepEqual(found.masks, tuned.masks);
    assert.deepEqual(found.steps![0].refits, tuned.reports);
    assert.ok(tuned.reports.some(({ rung }) => rung !== 'unscaled'));
    assert.ok(found.masks.neuronMask.includes(0) && found.patches.length === 0);

    const published = await rearrangeFromFile(fisher.file, paper);
    const guarded = await rearrangeFromFile(fisher.file, paper, openVariables(fisher.importance, dense));
    // Of question answering the published one takes a guarded head.
    assert.deepEqual(guarded.neuronMask, published.neuronMask);
    assert.equal(isDeepStrictEqual(guarded, published), head === 'SequenceClassification');
    const rearranged = await tune(guarded);
    assert.notDeepEqual(rearranged.masks.neuronMask, tuned.masks.neuronMask);
    const rearrangement = new StepRearrangement(context);
    t.after(() => rearrangement.close());
    const other = await new Trajectory(context, { ...parts, prefix: 'rearranged', rearrangement }).prune(budget);
    assert.deepEqual(other.masks, rearranged.masks);
    assert.deepEqual(other.steps![0].refits, rearranged.reports);
  });
