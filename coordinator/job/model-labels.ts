// Labels drawn from a model's own output: with them the gradients' second moments are the true Fisher information, and
// calibration data needs no labels.
import type { TaskKind } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import { type RandomStream, randomStream } from '../../pruning/random.ts';
import { modelOutputs } from '../stages/evaluate.ts';
import type { PlannedSamples, TaskEnvironment } from './job-context.ts';
import type { ModelBlobs } from './model-blobs.ts';

/** The sample with a target drawn from the distribution that the model's logits stand for; the losses are those of
 * `batchLosses`. Regression draws from a normal distribution of variance ½, whose log-likelihood the squared error is.
 * @param logits [outputs], or [tokens · outputs] row-major by token. */
export function withDrawnTarget(
  task: TaskKind,
  sample: EncodedSample,
  logits: Float32Array,
  outputs: number,
  random: RandomStream,
): EncodedSample {
  return { ...sample, target: drawTarget(task, logits, outputs, random) };
}

function drawTarget(task: TaskKind, logits: Float32Array, outputs: number, random: RandomStream): Float32Array {
  switch (task) {
    case 'single-label-classification':
      return Float32Array.of(drawClass(logits, random));
    case 'multi-label-classification':
      return logits.map((z) => (random.uniform() < 1 / (1 + Math.exp(-z)) ? 1 : 0));
    case 'regression':
      return logits.map((z) => z + Math.SQRT1_2 * drawNormal(random));
    case 'token-classification':
      // The first and the last token are the tokenizer's own.
      return Float32Array.from({ length: logits.length / outputs }, (_, t) =>
        t === 0 || t === logits.length / outputs - 1
          ? -100
          : drawClass(logits.subarray(t * outputs, (t + 1) * outputs), random),
      );
    case 'question-answering': {
      const side = (offset: number) => logits.filter((_, i) => i % 2 === offset);
      return Float32Array.of(drawClass(side(0), random), drawClass(side(1), random));
    }
  }
}

function drawClass(logits: Float32Array, random: RandomStream): number {
  const largest = logits.reduce((most, z) => Math.max(most, z), Number.NEGATIVE_INFINITY);
  const weights = Float64Array.from(logits, (z) => Math.exp(z - largest));
  let left = random.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < weights.length - 1; i++) {
    left -= weights[i];
    if (left < 0) return i;
  }
  return weights.length - 1;
}

// Box and Muller 1958.
function drawNormal(random: RandomStream): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}

/** Calibration samples with targets drawn from the dense model's outputs, seeded. */
export async function drawnLabels(
  environment: TaskEnvironment,
  model: ModelBlobs,
  calibration: PlannedSamples,
  seed: number,
): Promise<EncodedSample[]> {
  const { task, outputs } = model.config;
  const random = randomStream(seed, 'labels');
  const logits = await modelOutputs(environment, model, null, calibration);
  return calibration.plan.samples.map((sample, i) => withDrawnTarget(task, sample, logits[i], outputs, random));
}
