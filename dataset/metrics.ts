// Quality of a model's outputs by task. Each family of metrics has a file of its own; all values are fractions (or
// correlations from -1 to 1), higher is better except for "mse".
import type { ModelConfig, TaskKind } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';
import type { EncodedSample } from './encoded-sample.ts';
import { classMetrics, multiLabelMetrics } from './metrics-classification.ts';
import { type AnsweredQuestion, predictAnswers, questionMetrics } from './metrics-question-answering.ts';
import { regressionMetrics } from './metrics-regression.ts';
import { wordMetrics } from './metrics-token-classification.ts';
import type { GoldAnswer } from './question-answers.ts';
import type { DrawnSample, Scoring } from './row-encoder.ts';

export type MetricValues = Readonly<Record<string, number>>;

export interface Scores {
  /** Name of the value that is reported first and compared. */
  readonly primary: string;
  readonly values: MetricValues;
}

// The first is the usual one. "mse" is reported too but is no choice: lower is better.
const METRICS: Readonly<Record<TaskKind, readonly string[]>> = {
  'single-label-classification': ['accuracy', 'f1', 'matthews'],
  'multi-label-classification': ['f1', 'macro_f1', 'subset_accuracy'],
  regression: ['spearman', 'pearson'],
  'token-classification': ['f1', 'precision', 'recall', 'accuracy'],
  'question-answering': ['f1', 'exact_match'],
};

/** Metrics that can be reported first for a task, the usual one first. */
export function metricsOfTask(task: TaskKind): string[] {
  return [...METRICS[task]];
}

/** The metric to report first. @throws EspalierError "usage" when the task does not have it. */
export function checkMetric(task: TaskKind, metric: string | null): string {
  if (metric === null) return METRICS[task][0];
  if (METRICS[task].includes(metric)) return metric;
  throw new EspalierError('usage', `metric: got "${metric}", expected ${METRICS[task].join(', ')} for ${task}`, {
    action: 'change --metric',
  });
}

/** @throws EspalierError "shape_mismatch" when outputs do not fit the samples, "not_finite" when one is no number. */
export function checkOutputs(
  config: ModelConfig,
  samples: readonly EncodedSample[],
  outputs: readonly Float32Array[],
): void {
  if (outputs.length !== samples.length)
    throw new EspalierError('shape_mismatch', `outputs: got ${outputs.length} samples, expected ${samples.length}`);
  const byToken = config.task === 'token-classification' || config.task === 'question-answering';
  samples.forEach(({ tokenIds }, i) => {
    const expected = config.outputs * (byToken ? tokenIds.length : 1);
    if (outputs[i].length !== expected)
      throw new EspalierError(
        'shape_mismatch',
        `outputs of sample ${i}: got ${outputs[i].length} numbers, expected ${expected}`,
      );
    if (!outputs[i].every(Number.isFinite))
      throw new EspalierError('not_finite', `outputs of sample ${i}: got a number that is not finite`);
  });
}

/** Scores of drawn samples from the model's outputs, [samples], each [outputs] or [tokens * outputs] row-major by token. */
export function scoreSamples(
  config: ModelConfig,
  scoring: Scoring,
  samples: readonly DrawnSample[],
  outputs: readonly Float32Array[],
): Scores {
  if (scoring.kind === 'questions')
    return scoreQuestions(samples, outputs, scoring.contexts, scoring.golds, scoring.unanswerable);
  const targets = samples.map(({ sample }) => sample.target);
  return scoring.kind === 'words' ? scoreWords(config, targets, outputs) : scoreTexts(config, targets, outputs);
}

/** Scores of classification and regression from targets and outputs, [samples] each. */
export function scoreTexts(
  config: ModelConfig,
  targets: readonly Float32Array[],
  outputs: readonly Float32Array[],
): Scores {
  return scores(config.task, textMetrics(config, targets, outputs));
}

function textMetrics(
  config: ModelConfig,
  targets: readonly Float32Array[],
  outputs: readonly Float32Array[],
): MetricValues {
  if (config.task === 'regression') return regressionMetrics(targets, outputs);
  if (config.task === 'multi-label-classification') return multiLabelMetrics(targets, outputs);
  const golds = Int32Array.from(targets, (target) => target[0]);
  return classMetrics(golds, Int32Array.from(outputs, argmax), config.outputs);
}

/** Scores of token classification from targets [samples][tokens] and outputs [samples][tokens * labels]. */
export function scoreWords(
  config: ModelConfig,
  targets: readonly Float32Array[],
  outputs: readonly Float32Array[],
): Scores {
  const predictions = outputs.map((logits) => predictedLabels(logits, config.outputs));
  return scores(config.task, wordMetrics(targets, predictions, config.labels));
}

/** Class id of each token. @param logits [tokens * labels]. */
export function predictedLabels(logits: Float32Array, labels: number): Int32Array {
  return Int32Array.from({ length: logits.length / labels }, (_, token) =>
    argmax(logits.subarray(token * labels, (token + 1) * labels)),
  );
}

/** Scores of question answering from outputs [samples][tokens * 2].
 * @param contexts and golds by row of the file.
 * @param unanswerable true where some questions of the file have no answer, so that the model may predict none. */
export function scoreQuestions(
  samples: readonly DrawnSample[],
  outputs: readonly Float32Array[],
  contexts: readonly string[],
  golds: readonly (readonly GoldAnswer[])[],
  unanswerable: boolean,
): Scores {
  const questions = answeredQuestions(samples, outputs, contexts, golds, unanswerable);
  return scores('question-answering', questionMetrics(questions));
}

/** What the model answers to each drawn question, beside the gold answers. Parameters as of `scoreQuestions`. */
export function answeredQuestions(
  samples: readonly DrawnSample[],
  outputs: readonly Float32Array[],
  contexts: readonly string[],
  golds: readonly (readonly GoldAnswer[])[],
  unanswerable: boolean,
): AnsweredQuestion[] {
  const predictions = predictAnswers(samples, outputs, contexts, unanswerable);
  return predictions.map(({ row, text }) => ({ prediction: text, golds: golds[row].map((gold) => gold.text) }));
}

function scores(task: TaskKind, values: MetricValues): Scores {
  return { primary: METRICS[task][0], values };
}

/** Index of the greatest; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
