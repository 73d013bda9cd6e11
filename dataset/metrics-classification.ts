// Accuracy, F1 and Matthews correlation, as scikit-learn defines them; a ratio of nothing to nothing is 0.
import type { MetricValues } from './metrics.ts';

/** Metrics of one class a sample. "f1" is that of class 1 where there are two classes, else the mean over the classes
 * that occur among golds or predictions.
 * @param golds [samples] class ids. @param predictions [samples] class ids. */
export function classMetrics(golds: Int32Array, predictions: Int32Array, classes: number): MetricValues {
  const confusion = Array.from({ length: classes }, () => new Float64Array(classes)); // [gold, prediction]
  golds.forEach((gold, i) => {
    confusion[gold][predictions[i]]++;
  });
  const ids = [...confusion.keys()];
  const hits = ids.map((id) => confusion[id][id]);
  const goldCounts = ids.map((id) => sum(confusion[id]));
  const predictedCounts = ids.map((id) => sum(confusion.map((row) => row[id])));
  const f1 = ids.map((id) => ratio(2 * hits[id], goldCounts[id] + predictedCounts[id]));
  const occurring = ids.filter((id) => goldCounts[id] + predictedCounts[id] > 0);
  return {
    accuracy: ratio(sum(hits), golds.length),
    f1: classes === 2 ? f1[1] : ratio(sum(occurring.map((id) => f1[id])), occurring.length),
    matthews: matthews(sum(hits), golds.length, goldCounts, predictedCounts),
  };
}

/** Matthews correlation for any number of classes (Gorodkin 2004); 0 where golds or predictions are all of one class. */
function matthews(hits: number, samples: number, golds: readonly number[], predicted: readonly number[]): number {
  const covariance = hits * samples - sum(golds.map((count, id) => count * predicted[id]));
  const goldVariance = samples ** 2 - sum(golds.map((count) => count ** 2));
  const predictedVariance = samples ** 2 - sum(predicted.map((count) => count ** 2));
  return ratio(covariance, Math.sqrt(goldVariance * predictedVariance));
}

/** Metrics of any number of labels a sample; a label is predicted where its logit is above 0. "f1" counts all labels
 * together (micro), "macro_f1" is the mean over labels, "subset_accuracy" asks for all labels of a sample.
 * @param targets [samples][labels] of 0 and 1. @param outputs [samples][labels] logits. */
export function multiLabelMetrics(targets: readonly Float32Array[], outputs: readonly Float32Array[]): MetricValues {
  const labels = targets[0]?.length ?? 0;
  const hits = new Float64Array(labels);
  const counts = new Float64Array(labels); // golds and predictions together
  let exact = 0;
  targets.forEach((target, i) => {
    let wrong = 0;
    for (let label = 0; label < labels; label++) {
      const predicted = outputs[i][label] > 0 ? 1 : 0;
      hits[label] += predicted * target[label];
      counts[label] += predicted + target[label];
      wrong += Math.abs(predicted - target[label]);
    }
    if (wrong === 0) exact++;
  });
  return {
    f1: ratio(2 * sum(hits), sum(counts)),
    macro_f1: ratio(sum(hits.map((count, label) => ratio(2 * count, counts[label]))), labels),
    subset_accuracy: ratio(exact, targets.length),
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
