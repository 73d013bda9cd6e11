// Models with uniform layers in transformers' own classes, where ESPALIER_PYTHON names a Python that has them.
//
// Tolerance: both sides compute in float32, see oracle.test.ts; 1e-4 of the largest logit is what a user may rely on.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { randomPatches } from '../../support/random-patches.ts';
import { assertWithin, largestGap, numbers } from './results.ts';
import { HEADS, LAYERS, NEURONS, randomSamples, temporaryFolder, tinyModel, withRandomScales } from './tiny-model.ts';

const PYTHON = process.env.ESPALIER_PYTHON;
const SCRIPT = path.join(projectRoot(), 'test', 'integration', 'engine', 'stock_logits.py');
const KEPT = 11;
const LENGTHS = [12, 5, 1, 7];

/** All heads and eleven neurons of each layer, others in each, with scales. */
function uniformMasksWithScales(): Masks {
  const random = randomStream(17, 'uniform');
  const masks = denseMasks(LAYERS, HEADS, NEURONS);
  for (let layer = 0; layer < LAYERS; layer++) {
    const order = Array.from({ length: NEURONS }, (_, neuron) => ({ neuron, key: random.uniform() }));
    for (const { neuron } of order.sort((a, b) => a.key - b.key).slice(KEPT))
      masks.neuronMask[layer * NEURONS + neuron] = 0;
  }
  return withRandomScales(masks);
}

interface Answer {
  readonly class: string;
  readonly problems: string[];
  readonly neurons: number[];
  readonly logits: number[][];
}

test('every architecture and head: opened by its stock class with nothing missing or left over, with the logits of the engine', {
  skip: PYTHON === undefined && 'ESPALIER_PYTHON is not set',
}, async (t) => {
  const context = testContext();
  const requests: string[] = [];
  const expected: { name: string; logits: number[] }[] = [];
  const models = (['Bert', 'DistilBert', 'Roberta'] as const).flatMap((architecture) =>
    (['SequenceClassification', 'TokenClassification', 'QuestionAnswering'] as const).map(
      (head) => [architecture, head] as const,
    ),
  );
  for (const [architecture, head] of models)
    for (const isRefitted of [false, true]) {
      const { folder, config } = await tinyModel(t, architecture, head);
      const target = path.join(await temporaryFolder(t), 'pruned');
      const source = await openCheckpoint(folder);
      const masks = uniformMasksWithScales();
      const patches = isRefitted ? randomPatches(source, masks) : [];
      await writePrunedCheckpoint(source, masks, 'F32', target, 'stock', patches);
      await source.close();
      const samples = randomSamples(config, LENGTHS);
      const plan = testPlan(samples);
      const shards = { first: 0, end: plan.shards.length };
      const model = await localModel(target);
      const found = await runEvaluate(context, { model, plan, shards, student: null });
      expected.push({ name: `${architecture}For${head}`, logits: numbers(found, 'logits') });
      const inputs = samples.map(({ tokenIds, typeIds }) => ({
        input_ids: [...tokenIds],
        ...(config.typeVocabularySize > 0 && { token_type_ids: [...typeIds] }),
      }));
      requests.push(JSON.stringify({ folder: target, inputs }));
    }
  context.models.clear();
  const { status, stdout, stderr } = spawnSync(PYTHON!, [SCRIPT], { input: requests.join('\n'), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line): Answer => JSON.parse(line));
  for (const [at, { name, logits }] of expected.entries()) {
    const answer = answers[at];
    assert.equal(answer.class, name);
    assert.deepEqual(answer.problems, [], name);
    assert.deepEqual(answer.neurons, Array(LAYERS).fill(KEPT), name);
    assertWithin(largestGap(answer.logits.flat(), logits), 1e-4, name);
  }
});
