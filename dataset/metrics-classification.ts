// Accuracy, F1 and Matthews correlation, as scikit-learn defines them; a ratio of nothing to nothing is 0.
import type { MetricValues } from './metrics.ts';

/** What the metrics of one class a sample are made of, each [classes]. */
export interface ClassCounts {
  /** Right predictions. */
  readonly hits: Float64Array;
  readonly golds: Float64Array;
  readonly predicted: Float64Array;
}

export function noClassCounts(classes: number): ClassCounts {
  return {
    hits: new Float64Array(classes),
    golds: new Float64Array(classes),
    predicted: new Float64Array(classes),
  };
}

/** Counts `times` samples of one gold class that were predicted to be of another, or the same. */
export function countClass({ hits, golds, predicted }: ClassCounts, gold: number, prediction: number, times = 1): void {
  if (gold === prediction) hits[gold] += times;
  golds[gold] += times;
  predicted[prediction] += times;
}

/** Metrics of one class a sample. "f1" is that of class 1 where there are two classes, else the mean over the classes
 * that occur among golds or predictions.
 * @param golds [samples] class ids. @param predictions [samples] class ids. */
export function classMetrics(golds: Int32Array, predictions: Int32Array, classes: number): MetricValues {
  const counts = noClassCounts(classes);
  for (const [i, gold] of golds.entries()) countClass(counts, gold, predictions[i]);
  return metricsOfClasses(counts);
}

export function metricsOfClasses({ hits, golds, predicted }: ClassCounts): MetricValues {
  const f1 = Array.from(hits, (count, id) => ratio(2 * count, golds[id] + predicted[id]));
  const occurring = f1.filter((_, id) => golds[id] + predicted[id] > 0);
  const samples = sum(golds);
  return {
    accuracy: ratio(sum(hits), samples),
    f1: f1.length === 2 ? f1[1] : ratio(sum(occurring), occurring.length),
    matthews: matthews(sum(hits), samples, golds, predicted),
  };
}

/** Matthews correlation for any number of classes (Gorodkin 2004); 0 where golds or predictions are all of one class. */
function matthews(hits: number, samples: number, golds: Float64Array, predicted: Float64Array): number {
  const covariance = hits * samples - sum(golds.map((count, id) => count * predicted[id]));
  const goldVariance = samples ** 2 - sum(golds.map((count) => count ** 2));
  const predictedVariance = samples ** 2 - sum(predicted.map((count) => count ** 2));
  return ratio(covariance, Math.sqrt(goldVariance * predictedVariance));
}

/** What the metrics of several labels a sample are made of. */
export interface LabelCounts {
  /** [labels] right predictions of a label that is there. */
  readonly hits: Float64Array;
  /** [labels] golds and predictions together. */
  readonly counts: Float64Array;
  /** Samples whose labels are all right. */
  exact: number;
  samples: number;
}

export function noLabelCounts(labels: number): LabelCounts {
  return { hits: new Float64Array(labels), counts: new Float64Array(labels), exact: 0, samples: 0 };
}

/** Counts `times` samples. @param target [labels] of 0 and 1. @param output [labels] logits. */
export function countLabels(all: LabelCounts, target: Float32Array, output: Float32Array, times = 1): void {
  let wrong = 0;
  for (let label = 0; label < target.length; label++) {
    const predicted = output[label] > 0 ? 1 : 0;
    all.hits[label] += times * predicted * target[label];
    all.counts[label] += times * (predicted + target[label]);
    wrong += Math.abs(predicted - target[label]);
  }
  if (wrong === 0) all.exact += times;
  all.samples += times;
}

/** Metrics of any number of labels a sample; a label is predicted where its logit is above 0. "f1" counts all labels
 * together (micro), "macro_f1" is the mean over labels, "subset_accuracy" asks for all labels of a sample.
 * @param targets [samples][labels] of 0 and 1. @param outputs [samples][labels] logits. */
export function multiLabelMetrics(targets: readonly Float32Array[], outputs: readonly Float32Array[]): MetricValues {
  const all = noLabelCounts(targets[0]?.length ?? 0);
  for (const [i, target] of targets.entries()) countLabels(all, target, outputs[i]);
  return metricsOfLabels(all);
}

export function metricsOfLabels({ hits, counts, exact, samples }: LabelCounts): MetricValues {
  return {
    f1: ratio(2 * sum(hits), sum(counts)),
    macro_f1: ratio(sum(hits.map((count, label) => ratio(2 * count, counts[label]))), hits.length),
    subset_accuracy: ratio(exact, samples),
  };
}

export function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
