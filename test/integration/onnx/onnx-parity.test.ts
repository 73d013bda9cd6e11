// Exported files in ONNX Runtime against the engine and against transformers: every architecture, head and activation,
// dense, pruned, and with layers that have nothing left.
//
// Tolerance: both compute in float32 and round differently; the bar for exported models is 1e-4 of logits of size 1, and
// these small ones stay ten times below it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { writeOnnx } from '../../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { onnxLogits, runOnnx } from '../../support/onnx-session.ts';
import { assertWithin, largestDifference, numbers } from '../engine/results.ts';
import {
  HEADS,
  halfMasks,
  LAYERS,
  NEURONS,
  randomSamples,
  temporaryFolder,
  tinyModel,
  withRandomScales,
} from '../engine/tiny-model.ts';

const TOLERANCE = 1e-5;
// Matrices rounded to 11 bits, logits of size 1 to 5; see "float16 rounds" for what it is not.
const HALF_TOLERANCE = 2e-2;
const LENGTHS = [12, 5, 1, 7, 9, 3];

type Model = Parameters<typeof tinyModel> extends [TestContext, ...infer Rest] ? Rest : never;

const MODELS: Record<string, Model> = {
  'BERT, single label, gelu': ['Bert', 'SequenceClassification', {}],
  'BERT, multi-label, tanh gelu': [
    'Bert',
    'SequenceClassification',
    { activation: 'gelu_new', problem: 'multi_label_classification' },
  ],
  'BERT, regression with 2 outputs, relu': [
    'Bert',
    'SequenceClassification',
    { activation: 'relu', labels: 2, problem: 'regression' },
  ],
  'BERT, token classification, tanh gelu': ['Bert', 'TokenClassification', { activation: 'gelu_pytorch_tanh' }],
  'BERT, question answering, gelu': ['Bert', 'QuestionAnswering', {}],
  'DistilBERT, single label, relu': ['DistilBert', 'SequenceClassification', { activation: 'relu' }],
  'DistilBERT, regression, gelu': ['DistilBert', 'SequenceClassification', { labels: 1 }],
  'DistilBERT, token classification, gelu': ['DistilBert', 'TokenClassification', { labels: 5 }],
  'DistilBERT, question answering, tanh gelu': ['DistilBert', 'QuestionAnswering', { activation: 'gelu_new' }],
  'RoBERTa, single label, gelu': ['Roberta', 'SequenceClassification', {}],
  'RoBERTa, multi-label, relu': [
    'Roberta',
    'SequenceClassification',
    { activation: 'relu', problem: 'multi_label_classification' },
  ],
  'RoBERTa, token classification, gelu': ['Roberta', 'TokenClassification', { labels: 5 }],
  'RoBERTa, question answering, tanh gelu': ['Roberta', 'QuestionAnswering', { activation: 'gelu_new' }],
};

const ALL_HEADS = Array.from({ length: HEADS }, (_, i) => i);
const ALL_NEURONS = Array.from({ length: NEURONS }, (_, i) => i);

/** Masks with what is kept in each layer. */
function keeping(heads: readonly number[][], neurons: readonly number[][]): Masks {
  const masks = denseMasks(LAYERS, HEADS, NEURONS);
  masks.headMask.fill(0);
  masks.neuronMask.fill(0);
  for (let layer = 0; layer < LAYERS; layer++) {
    for (const head of heads[layer]) masks.headMask[layer * HEADS + head] = 1;
    for (const neuron of neurons[layer]) masks.neuronMask[layer * NEURONS + neuron] = 1;
  }
  return masks;
}

const REMAINS: Record<string, Masks> = {
  'scaled halves': withRandomScales(halfMasks('student')),
  'no head in the first layer, no neuron in the last': keeping([[], [1], ALL_HEADS], [ALL_NEURONS, [3, 7], []]),
  'nothing in the middle layer, one of each in the last': keeping([ALL_HEADS, [], [2]], [ALL_NEURONS, [], [5]]),
  'nothing at all': keeping([[], [], []], [[], [], []]),
};

for (const [name, model] of Object.entries(MODELS))
  test(`${name}: dense and pruned files give the engine's logits`, async (t) => {
    const { folder, config } = await tinyModel(t, ...model);
    const samples = randomSamples(config, LENGTHS);
    await assertExported(t, folder, samples, 'dense');
    for (const [what, masks] of Object.entries(REMAINS)) {
      const source = await openCheckpoint(folder);
      const pruned = path.join(await temporaryFolder(t), 'pruned');
      await writePrunedCheckpoint(source, masks, 'F32', pruned);
      await source.close();
      await assertExported(t, pruned, samples, what);
    }
  });

async function assertExported(t: TestContext, folder: string, samples: readonly EncodedSample[], what: string) {
  const context = testContext();
  const plan = testPlan(samples);
  const shards = { first: 0, end: plan.shards.length };
  const model = await localModel(folder);
  const expected = numbers(await runEvaluate(context, { model, plan, shards, student: null }), 'logits');
  context.models.clear();
  const checkpoint = await openCheckpoint(folder);
  t.after(() => checkpoint.close());
  const out = await temporaryFolder(t);
  for (const [dtype, tolerance] of [
    ['F32', TOLERANCE],
    ['F16', HALF_TOLERANCE],
  ] as const) {
    const { files } = await writeOnnx(checkpoint, path.join(out, `${dtype}.onnx`), { dtype });
    assert.equal(files.length, 1);
    const got = await onnxLogits(files[0].path, checkpoint.config, samples);
    assertWithin(largestDifference(got, expected), tolerance, `${what}, ${dtype}`);
    // Padding changes no more than the order of sums does.
    const longer = await onnxLogits(files[0].path, checkpoint.config, samples, 20);
    assertWithin(largestDifference(longer, got), TOLERANCE, `${what}, ${dtype}, more padding`);
  }
}

const fixtures = path.join(projectRoot(), 'test/fixtures');
for (const name of readdirSync(fixtures).filter((entry) => entry.startsWith('hf-')))
  test(`${name}: the file gives the logits of transformers`, async (t) => {
    const checkpoint = await openCheckpoint(path.join(fixtures, name));
    t.after(() => checkpoint.close());
    const { files } = await writeOnnx(checkpoint, path.join(await temporaryFolder(t), 'model.onnx'), { dtype: 'F32' });
    const expected = JSON.parse(readFileSync(path.join(fixtures, name, 'expected.json'), 'utf8'));
    const answers = await runOnnx(files[0].path, expected.inputs);
    const names = checkpoint.config.task === 'question-answering' ? ['start_logits', 'end_logits'] : ['logits'];
    assert.deepEqual(Object.keys(answers).sort(), [...names].sort());
    for (const output of names)
      assertWithin(largestDifference(answers[output], expected[output].flat(9)), TOLERANCE, output);
  });

test('float16 rounds the matrices and nothing else: as far from float32 as rounding them first is', async (t) => {
  const { folder, config } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const samples = randomSamples(config, LENGTHS);
  const checkpoint = await openCheckpoint(folder);
  t.after(() => checkpoint.close());
  const out = await temporaryFolder(t);
  const logits = async (dtype: 'F32' | 'F16') => {
    const { files } = await writeOnnx(checkpoint, path.join(out, `${dtype}.onnx`), { dtype });
    return { bytes: files[0].bytes, values: await onnxLogits(files[0].path, config, samples) };
  };
  const [single, half] = [await logits('F32'), await logits('F16')];
  const gap = largestDifference(half.values, single.values);
  assert.ok(gap > 1e-5 && gap < HALF_TOLERANCE, `off by ${gap}`);
  const matrixBytes = [...checkpoint.weights.values()]
    .filter(({ shape }) => shape.length === 2)
    .reduce((sum, { shape }) => sum + shape[0] * shape[1] * 2, 0);
  // What a Cast a matrix costs is less than 150 bytes of graph each.
  assert.ok(single.bytes - half.bytes > matrixBytes - 150 * 30, `${single.bytes} and ${half.bytes} bytes`);
});
