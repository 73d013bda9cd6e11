// A task's metric as a function of how often each example counts, which is what a bootstrap over examples asks thousands of
// times: what an example adds is worked out once. Every example counted once gives the metric that is reported.
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { answeredQuestions, argmax, checkMetric, checkOutputs, type MetricValues, predictedLabels } from './metrics.ts';
import {
  countClass,
  countLabels,
  metricsOfClasses,
  metricsOfLabels,
  noClassCounts,
  noLabelCounts,
} from './metrics-classification.ts';
import { questionScore } from './metrics-question-answering.ts';
import { metricsOfWords, wordCounts } from './metrics-token-classification.ts';
import type { DrawnSample, Scoring } from './row-encoder.ts';
import { type WeightedPairs, weightedPearson, weightedSpearman } from './weighted-correlation.ts';

export interface WeightedMetric {
  /** Examples: samples, or questions with all their windows. */
  readonly examples: number;
  /** One more than the examples where an imagined example follows them, else as many. */
  readonly units: number;
  /** @param weights [units], how often each counts, not all 0. */
  value(weights: Int32Array): number;
}

/** The metric of one model's outputs.
 * @param drawn every example once. @param outputs as of `scoreDrawn`.
 * @param metric name from `metricsOfTask`; null: the task's usual one.
 * @param imagined how the model answers one more example, where right and wrong can be told: all but regression.
 * @throws EspalierError "usage" for a metric that the task does not have, "shape_mismatch", "not_finite". */
export function weightedMetric(
  config: ModelConfig,
  scoring: Scoring,
  drawn: readonly DrawnSample[],
  outputs: readonly Float32Array[],
  metric: string | null,
  imagined: 'right' | 'wrong',
): WeightedMetric {
  const name = checkMetric(config.task, metric);
  const samples = drawn.map(({ sample }) => sample);
  checkOutputs(config, samples, outputs);
  const targets = samples.map(({ target }) => target);
  const right = imagined === 'right';
  if (scoring.kind === 'questions') {
    const { contexts, golds, unanswerable } = scoring;
    const questions = answeredQuestions(drawn, outputs, contexts, golds, unanswerable).map(questionScore);
    const scores = [...questions, { f1: Number(right), exact_match: Number(right) }];
    return withImagined(scores.length - 1, (weights) => meanOf(scores, weights)[name]);
  }
  if (scoring.kind === 'words') {
    const rows = targets.map((target, i) =>
      wordCounts(target, predictedLabels(outputs[i], config.outputs), config.labels),
    );
    rows.push({ hits: Number(right), golds: 1, predicted: 1, right: Number(right), labels: 1 });
    return withImagined(targets.length, (weights) => metricsOfWords(sumOf(rows, weights))[name]);
  }
  if (config.task === 'regression') return correlation(targets, outputs, name);
  if (config.task === 'multi-label-classification') return labelMetric(targets, outputs, name, right);
  return classMetric(targets, outputs, config.outputs, name, right);
}

function withImagined(examples: number, value: (weights: Int32Array) => number): WeightedMetric {
  return { examples, units: examples + 1, value };
}

// The imagined example is of the class that is rarest among the golds, where it weighs most.
function classMetric(
  targets: readonly Float32Array[],
  outputs: readonly Float32Array[],
  classes: number,
  name: string,
  right: boolean,
): WeightedMetric {
  const golds = targets.map((target) => target[0]);
  const predictions = outputs.map(argmax);
  const rare = rarest(classes, (id) => golds.filter((gold) => gold === id).length);
  golds.push(rare);
  predictions.push(right ? rare : (rare + 1) % classes);
  return withImagined(targets.length, (weights) => {
    const counts = noClassCounts(classes);
    for (let i = 0; i < weights.length; i++)
      if (weights[i] > 0) countClass(counts, golds[i], predictions[i], weights[i]);
    return metricsOfClasses(counts)[name];
  });
}

// The imagined example has the rarest label alone, and the model finds it or no label.
function labelMetric(
  targets: readonly Float32Array[],
  outputs: readonly Float32Array[],
  name: string,
  right: boolean,
): WeightedMetric {
  const labels = targets[0].length;
  const rare = rarest(labels, (id) => targets.filter((target) => target[id] === 1).length);
  const target = Float32Array.from({ length: labels }, (_, id) => Number(id === rare));
  const all = [...targets, target];
  const answers = [...outputs, target.map((bit) => (right && bit === 1 ? 1 : -1))];
  return withImagined(targets.length, (weights) => {
    const counts = noLabelCounts(labels);
    for (let i = 0; i < weights.length; i++) if (weights[i] > 0) countLabels(counts, all[i], answers[i], weights[i]);
    return metricsOfLabels(counts)[name];
  });
}

function correlation(targets: readonly Float32Array[], outputs: readonly Float32Array[], name: string): WeightedMetric {
  const width = targets[0].length;
  const pairs = Array.from({ length: width }, (_, output): WeightedPairs => {
    return {
      golds: Float64Array.from(targets, (target) => target[output]),
      predictions: Float64Array.from(outputs, (numbers) => numbers[output]),
    };
  });
  const measures = pairs.map((own) => (name === 'spearman' ? weightedSpearman(own) : weightedPearson(own)));
  const value = (weights: Int32Array) => measures.reduce((sum, measure) => sum + measure(weights) / width, 0);
  return { examples: targets.length, units: targets.length, value };
}

/** The lowest id of those that occur least, of those that occur at all. */
function rarest(count: number, occurrences: (id: number) => number): number {
  let best = { id: 0, count: Number.POSITIVE_INFINITY };
  for (let id = 0; id < count; id++) {
    const own = occurrences(id);
    if (own > 0 && own < best.count) best = { id, count: own };
  }
  return best.id;
}

function meanOf(rows: readonly MetricValues[], weights: Int32Array): MetricValues {
  const sums = sumOf(rows, weights);
  const count = weights.reduce((sum, weight) => sum + weight, 0);
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count]));
}

function sumOf<Row extends object>(rows: readonly Row[], weights: Int32Array): Record<keyof Row, number> {
  const names = Object.keys(rows[0]) as (keyof Row)[];
  const sums = Object.fromEntries(names.map((name) => [name, 0])) as Record<keyof Row, number>;
  for (let i = 0; i < weights.length; i++)
    if (weights[i] > 0) for (const name of names) sums[name] += weights[i] * Number(rows[i][name]);
  return sums;
}
