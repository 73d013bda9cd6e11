// Exported files in ONNX Runtime against the engine and against transformers: every architecture, head and activation,
// dense, pruned, and with layers that have nothing left.
//
// Tolerance: both compute in float32 and round differently; the bar for exported models is 1e-4 of logits of size 1, and
// these small ones stay ten times below it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test, { type TestContext } from 'node:test';
import { float16ToFloat32, float32ToFloat16 } from '../../../checkpoint/half-precision.ts';
import { writeOnnx } from '../../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import { runEvaluate } from '../../../worker/tasks/evaluate.ts';
import { localModel, testContext, testPlan } from '../../support/engine.ts';
import { onnxLogits, runOnnx } from '../../support/onnx-session.ts';
import { randomPatches } from '../../support/random-patches.ts';
import { assertWithin, largestDifference, numbers } from '../engine/results.ts';
import {
  HEADS,
  halfMasks,
  keeping,
  NEURONS,
  randomSamples,
  temporaryFolder,
  tinyModel,
  withRandomScales,
} from '../engine/tiny-model.ts';

const TOLERANCE = 1e-5;
// Matrices rounded to 11 bits, logits of size 1 to 5.
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
      await assertExported(t, pruned, samples, what);
      const refitted = path.join(await temporaryFolder(t), 'refitted');
      await writePrunedCheckpoint(source, masks, 'F32', refitted, 'espalier', randomPatches(source, masks));
      await source.close();
      await assertExported(t, refitted, samples, `${what}, refitted`);
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
    if (dtype === 'F32') {
      const every = await writeOnnx(checkpoint, path.join(out, 'every.onnx'), { dtype, everyToken: true });
      const slower = await onnxLogits(every.files[0].path, checkpoint.config, samples);
      assertWithin(largestDifference(slower, got), TOLERANCE, `${what}, every token in the last layer`);
    }
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

test('a token that is masked anywhere changes no other logit, and an input that is too long is refused', async (t) => {
  const { folder, config } = await tinyModel(t, 'Bert', 'TokenClassification');
  const checkpoint = await openCheckpoint(folder);
  t.after(() => checkpoint.close());
  const { files } = await writeOnnx(checkpoint, path.join(await temporaryFolder(t), 'model.onnx'), { dtype: 'F32' });
  const batch = (masked: number, bit: number) => ({
    input_ids: [[masked, 5, 9, masked, 12]],
    attention_mask: [[bit, 1, 1, bit, 1]],
    token_type_ids: [[0, 0, 1, 1, 1]],
  });
  const others = async (masked: number, bit: number) => {
    const { logits } = await runOnnx(files[0].path, batch(masked, bit));
    return [1, 2, 4].flatMap((token) => [...logits.subarray(token * config.outputs, (token + 1) * config.outputs)]);
  };
  assert.deepEqual(await others(7, 0), await others(30, 0));
  assert.ok(largestDifference(await others(7, 1), await others(30, 1)) > 0.01, 'unmasked they do change');
  const [long] = randomSamples({ ...config, maxTokens: 40 }, [config.maxTokens + 1]);
  await assert.rejects(onnxLogits(files[0].path, config, [long]), /embeddings/);
});

test('the same checkpoint gives the same bytes, whatever it lies in', async (t) => {
  const { folder } = await tinyModel(t, 'Roberta', 'QuestionAnswering');
  const elsewhere = path.join(await temporaryFolder(t), 'elsewhere');
  await cp(folder, elsewhere, { recursive: true });
  const digests = new Set<string>();
  for (const source of [folder, elsewhere]) {
    const checkpoint = await openCheckpoint(source);
    t.after(() => checkpoint.close());
    const out = path.join(await temporaryFolder(t), `${digests.size}.onnx`);
    const { files } = await writeOnnx(checkpoint, out, { dtype: 'F16' });
    digests.add(files[0].sha256);
  }
  assert.equal(digests.size, 1);
});

test('a weight that float16 cannot hold is refused, and nothing is left of the file', async (t) => {
  const { folder } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const checkpoint = await openCheckpoint(folder);
  t.after(() => checkpoint.close());
  const huge: typeof checkpoint = {
    ...checkpoint,
    tensor: async (name) =>
      (await checkpoint.tensor(name)).map((value) => (name.endsWith('ffn_in.weight') ? 7e4 : value)),
  };
  const out = await temporaryFolder(t);
  await assert.rejects(writeOnnx(huge, path.join(out, 'model.onnx'), { dtype: 'F16' }), {
    code: 'not_finite',
    message: 'layers.0.ffn_in.weight: got 70000, which float16 cannot hold',
    action: 'export the model as float32',
  });
  assert.deepEqual(readdirSync(out), []);
});

test('a cancelled export leaves the file that was there, and nothing of its own', async (t) => {
  const { folder } = await tinyModel(t, 'DistilBert', 'QuestionAnswering');
  const checkpoint = await openCheckpoint(folder);
  t.after(() => checkpoint.close());
  const out = await temporaryFolder(t);
  const file = path.join(out, 'model.onnx');
  const before = await writeOnnx(checkpoint, file, { dtype: 'F32', mostFileBytes: 0 });
  const controller = new AbortController();
  const cancelling: typeof checkpoint = {
    ...checkpoint,
    async tensor(name) {
      controller.abort(new EspalierError('cancelled', 'enough'));
      return checkpoint.tensor(name);
    },
  };
  const cancelled = writeOnnx(cancelling, file, { dtype: 'F16', mostFileBytes: 0, signal: controller.signal });
  await assert.rejects(cancelled, { code: 'cancelled', message: 'enough' });
  assert.deepEqual(readdirSync(out).sort(), ['model.onnx', 'model.onnx.data']);
  for (const { path: left, sha256 } of before.files)
    assert.equal(createHash('sha256').update(readFileSync(left)).digest('hex'), sha256);
});

test('float16 rounds the matrices: what a checkpoint with rounded matrices gives', async (t) => {
  const { folder, config } = await tinyModel(t, 'Bert', 'SequenceClassification');
  const samples = randomSamples(config, LENGTHS);
  const checkpoint = await openCheckpoint(folder);
  t.after(() => checkpoint.close());
  const out = await temporaryFolder(t);
  const half = (values: Float32Array) => float16ToFloat32(float32ToFloat16(values).bits);
  const matrices = new Set([...checkpoint.weights.values()].filter(({ shape }) => shape.length === 2));
  const rounded = path.join(out, 'rounded');
  await cp(folder, rounded, { recursive: true });
  const tensors = await Promise.all(
    [...checkpoint.weights.values()].map(async (weight) => {
      const values = await checkpoint.tensor(weight.name);
      const data = matrices.has(weight) ? half(values) : values;
      return { name: weight.storedName, dtype: 'F32' as const, shape: weight.shape, data };
    }),
  );
  await writeFile(path.join(rounded, 'model.safetensors'), encodeSafetensors(tensors));
  const roundedCheckpoint = await openCheckpoint(rounded);
  t.after(() => roundedCheckpoint.close());
  const logits = async (source: typeof checkpoint, dtype: 'F32' | 'F16') => {
    const { files } = await writeOnnx(source, path.join(out, 'model.onnx'), { dtype });
    return { bytes: files[0].bytes, values: await onnxLogits(files[0].path, config, samples) };
  };
  const found = await logits(checkpoint, 'F16');
  const expected = await logits(roundedCheckpoint, 'F32');
  assertWithin(largestDifference(found.values, expected.values), TOLERANCE, 'logits');
  const exact = await logits(checkpoint, 'F32');
  assert.ok(largestDifference(found.values, exact.values) > TOLERANCE, 'rounding is seen at all');
  const saved = [...matrices].reduce((sum, { shape }) => sum + shape[0] * shape[1] * 2, 0);
  // A Cast a matrix costs less than 150 bytes of graph.
  assert.ok(exact.bytes - found.bytes > saved - 150 * matrices.size, `${exact.bytes} and ${found.bytes} bytes`);
});
