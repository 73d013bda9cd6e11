// The float64 reference encoder against transformers (fixtures hf-*, float64) and against central differences where no
// fixture exists. Everything else that is compared with the encoder rests on this file.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { weightSpecs } from '../../../checkpoint/weight-names.ts';
import { randomStream } from '../../../pruning/random.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { elementCount } from '../../../shared/tensor.ts';
import { type EncoderInput, type MaskValues, ReferenceEncoder } from '../../support/reference-encoder.ts';
import { type LossValue, referenceLoss } from '../../support/reference-losses.ts';

interface Expected {
  readonly inputs: { input_ids: number[][]; attention_mask: number[][]; token_type_ids: number[][] };
  readonly logits?: number[][];
  readonly start_logits?: number[][];
  readonly end_logits?: number[][];
  readonly labels?: number[] | number[][];
  readonly start_positions?: number[];
  readonly end_positions?: number[];
  readonly losses: number[];
  readonly head_mask_gradients: number[][][];
  readonly neuron_mask_gradients: number[][][];
}

const FIXTURES = [
  'hf-bert-classification',
  'hf-bert-gelu-new',
  'hf-bert-multi-label',
  'hf-bert-question-answering',
  'hf-bert-regression',
  'hf-bert-relu',
  'hf-distilbert-classification',
  'hf-distilbert-question-answering',
  'hf-roberta-classification',
  'hf-roberta-question-answering',
  'hf-xlm-roberta-classification',
];
// Both sides are float64 on float32 weights; sums of a few hundred terms differ in order.
const TOLERANCE = 1e-9;

for (const name of FIXTURES)
  test(`${name}: logits, losses and mask gradients are those of transformers`, async () => {
    const directory = join(projectRoot(), 'test/fixtures', name);
    const encoder = await ReferenceEncoder.load(directory);
    const expected: Expected = JSON.parse(readFileSync(join(directory, 'expected.json'), 'utf8'));
    expected.inputs.input_ids.forEach((ids, sample) => {
      const trace = encoder.forward({
        ids,
        attentionMask: expected.inputs.attention_mask[sample],
        typeIds: expected.inputs.token_type_ids[sample],
      });
      const logits = expected.logits?.[sample] ?? interleave(expected, sample);
      assertClose(trace.logits, logits, 'logits');
      const { loss, gradient } = fixtureLoss(encoder.config, trace.logits, expected, sample);
      assertClose([loss], [expected.losses[sample]], 'loss');
      const gradients = encoder.maskGradients(trace, gradient);
      assertClose(gradients.heads, expected.head_mask_gradients[sample].flat(), 'head mask gradients');
      assertClose(gradients.neurons, expected.neuron_mask_gradients[sample].flat(), 'neuron mask gradients');
    });
  });

test('mask gradients are central differences: token classification, unequal and empty layers, masks that are not 1', () => {
  const config = tinyConfig({ task: 'token-classification', headsByLayer: [1, 0, 2], neuronsByLayer: [5, 3, 0] });
  const encoder = new ReferenceEncoder(config, randomWeights(config));
  const input: EncoderInput = { ids: [3, 7, 1, 0], attentionMask: [1, 1, 1, 0], typeIds: [0, 0, 1, 0] };
  const random = randomStream(1, 'masks');
  const open = encoder.openMasks();
  const masks = {
    heads: open.heads.map(() => random.uniform() + 0.5),
    neurons: open.neurons.map(() => random.uniform()),
  };
  const loss = (at: MaskValues): LossValue => referenceLoss(config, encoder.forward(input, at).logits, [1, 2, 0, -100]);
  const trace = encoder.forward(input, masks);
  const gradients = encoder.maskGradients(trace, loss(masks).gradient, masks);
  // Step 1e-5: the error of the difference is about 1e-10 by truncation and 1e-11 by rounding.
  for (const kind of ['heads', 'neurons'] as const)
    masks[kind].forEach((value, at) => {
      const moved = (by: number) => ({ ...masks, [kind]: masks[kind].with(at, value + by) });
      const difference = (loss(moved(1e-5)).loss - loss(moved(-1e-5)).loss) / 2e-5;
      assert.ok(
        Math.abs(difference - gradients[kind][at]) < 1e-8,
        `${kind} ${at}: ${gradients[kind][at]}, ${difference}`,
      );
    });
  assert.ok(
    gradients.heads.some((g) => Math.abs(g) > 1e-3),
    'the gradients are not trivially 0',
  );
  assert.deepEqual([...gradients.heads.slice(2, 4)], [0, 0], 'an empty layer has no head gradients');
});

function fixtureLoss(config: ModelConfig, logits: Float64Array, expected: Expected, sample: number): LossValue {
  const label = expected.labels?.[sample];
  const answer = () => [expected.start_positions![sample], expected.end_positions![sample]];
  return referenceLoss(config, logits, label === undefined ? answer() : [label].flat());
}

function interleave(expected: Expected, sample: number): number[] {
  return expected.start_logits![sample].flatMap((start, token) => [start, expected.end_logits![sample][token]]);
}

function assertClose(got: ArrayLike<number>, expected: readonly number[], what: string): void {
  assert.equal(got.length, expected.length, `${what}: length`);
  expected.forEach((value, at) => {
    const error = Math.abs(got[at] - value);
    assert.ok(error <= TOLERANCE * Math.max(1, Math.abs(value)), `${what} ${at}: got ${got[at]}, expected ${value}`);
  });
}

function tinyConfig(fields: Pick<ModelConfig, 'task' | 'headsByLayer' | 'neuronsByLayer'>): ModelConfig {
  return {
    modelType: 'bert',
    layers: 3,
    hiddenSize: 8,
    heads: 2,
    headSize: 4,
    intermediateSize: 5,
    activation: 'gelu',
    layerNormEps: 1e-12,
    vocabularySize: 11,
    maxTokens: 8,
    positionOffset: 0,
    typeVocabularySize: 2,
    padTokenId: 0,
    outputs: 3,
    labels: ['a', 'b', 'c'],
    raw: {},
    ...fields,
  };
}

function randomWeights(config: ModelConfig): Map<string, Float64Array> {
  const random = randomStream(1, 'weights');
  return new Map(
    weightSpecs(config).map(({ name, shape }) => [
      name,
      new Float64Array(elementCount(shape)).map(() => 2 * random.uniform() - 1),
    ]),
  );
}
