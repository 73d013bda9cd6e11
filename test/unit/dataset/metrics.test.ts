// Expected values are worked out by hand or, where a comment says so, by scikit-learn 1.9.1, scipy 1.17.1, seqeval 1.2.2.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metricsOfTask } from '../../../dataset/metrics.ts';
import { classMetrics, multiLabelMetrics } from '../../../dataset/metrics-classification.ts';
import { answerF1, normaliseAnswer, questionMetrics } from '../../../dataset/metrics-question-answering.ts';
import { pearson, ranks, regressionMetrics } from '../../../dataset/metrics-regression.ts';
import { entities, wordMetrics } from '../../../dataset/metrics-token-classification.ts';

// Sums of a few float64 products.
const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `got ${actual}, expected ${expected}`);

test('two classes: F1 of class 1', () => {
  const { accuracy, f1, matthews } = classMetrics(Int32Array.of(1, 1, 1, 0, 0), Int32Array.of(1, 1, 0, 0, 1), 2);
  near(accuracy, 3 / 5);
  near(f1, 2 / 3);
  near(matthews, 1 / 6); // (2*1 - 1*1) / sqrt(3*3*2*2)
});

test('more classes: mean F1 of those that occur', () => {
  // Class 3 does not occur; F1: class 0 2/3, class 1 1/2, class 2 0.
  const { f1, accuracy, matthews } = classMetrics(Int32Array.of(0, 0, 1, 2), Int32Array.of(0, 1, 1, 1), 4);
  near(accuracy, 1 / 2);
  near(f1, (2 / 3 + 1 / 2) / 3);
  near(matthews, (2 * 4 - 5) / Math.sqrt((16 - 6) * (16 - 10)));
});

test('one class only: Matthews is 0, not NaN', () => {
  assert.deepEqual(classMetrics(Int32Array.of(1, 0), Int32Array.of(0, 0), 2), { accuracy: 0.5, f1: 0, matthews: 0 });
});

test('several labels: micro, macro, subset', () => {
  const targets = [Float32Array.of(1, 0, 1), Float32Array.of(0, 1, 0), Float32Array.of(0, 0, 0)];
  const outputs = [Float32Array.of(2, -1, 0.5), Float32Array.of(1, -1, -1), Float32Array.of(-1, 0, -2)];
  const values = multiLabelMetrics(targets, outputs); // a logit of 0 predicts nothing
  near(values.f1, (2 * 2) / 6);
  near(values.macro_f1, (2 / 3 + 0 + 1) / 3);
  near(values.subset_accuracy, 2 / 3);
});

test('correlations: ties share ranks', () => {
  assert.deepEqual([...ranks(Float64Array.of(3, 1, 3, 2, 3))], [4, 1, 4, 2, 4]);
  const golds = [1, 2, 3, 4].map((x) => Float32Array.of(x));
  const values = regressionMetrics(golds, [
    Float32Array.of(1),
    Float32Array.of(3),
    Float32Array.of(2),
    Float32Array.of(2),
  ]);
  near(values.mse, (0 + 1 + 1 + 4) / 4);
  near(values.pearson, 1 / Math.sqrt(5 * 2)); // covariance 1, variances 5 and 2
  near(values.spearman, 1.5 / Math.sqrt(5 * 4.5)); // ranks 1 4 2.5 2.5
});

test('correlations: a constant side gives 0, also where the mean is rounded', () => {
  const constant = new Float64Array(3).fill(0.1);
  assert.equal(pearson(Float64Array.of(1, 2, 3), constant), 0);
  assert.equal(pearson(constant, Float64Array.of(1, 2, 3)), 0);
});

test('entities of broken and mixed schemes, as seqeval finds them', () => {
  assert.deepEqual(entities(['B-X', 'I-X', 'O', 'I-Y', 'I-X']), ['X 0 1', 'Y 3 3', 'X 4 4']);
  assert.deepEqual(entities(['I-X', 'B-X', 'E-X', 'S-Y', 'E-Y']), ['X 0 0', 'X 1 2', 'Y 3 3', 'Y 4 4']);
  assert.deepEqual(entities(['B-X', 'L-X', 'U-Y']), ['X 0 1', 'Y 2 2']);
});

test('entities: micro F1 over samples', () => {
  const labels = ['O', 'B-X', 'I-X', 'B-Y'];
  const targets = [Float32Array.of(-100, 1, 2, 0, 3), Float32Array.of(1, -100)];
  const values = wordMetrics(targets, [Int32Array.of(3, 1, 2, 3, 3), Int32Array.of(0, 1)], labels);
  near(values.precision, 2 / 3);
  near(values.recall, 2 / 3);
  near(values.f1, 2 / 3);
  near(values.accuracy, 3 / 5);
});

test('labels in no scheme are counted by token', () => {
  const values = wordMetrics([Float32Array.of(0, 1, 2)], [Int32Array.of(0, 2, 2)], ['O', 'NOUN', 'VERB']);
  near(values.precision, 1 / 2);
  near(values.recall, 1 / 2);
  near(values.accuracy, 2 / 3);
});

test('answers are compared without case, articles, punctuation and spaces', () => {
  assert.equal(normaliseAnswer(' The  Old-Pear, a tree! '), 'oldpear tree');
  assert.equal(normaliseAnswer('à la carte théa'), 'à la carte théa');
  near(answerF1('the old pear tree', 'pear tree'), 4 / 5);
  near(answerF1('tree tree', 'tree'), 2 / 3);
  assert.equal(answerF1('The', 'a'), 1);
  assert.equal(answerF1('tree', 'the'), 0);
});

test('questions: the best gold answer counts; without golds only an empty answer is right', () => {
  const values = questionMetrics([
    { prediction: 'Pear Tree', golds: ['tree', 'the pear tree'] },
    { prediction: '', golds: [] },
    { prediction: 'wall', golds: [] },
    { prediction: 'old wall', golds: ['wall'] },
  ]);
  near(values.f1, (1 + 1 + 0 + 2 / 3) / 4);
  near(values.exact_match, 2 / 4);
});

test('every task names its usual metric first', () => {
  assert.deepEqual(metricsOfTask('regression'), ['spearman', 'pearson']);
  assert.equal(metricsOfTask('single-label-classification')[0], 'accuracy');
  for (const task of ['multi-label-classification', 'token-classification', 'question-answering'] as const)
    assert.equal(metricsOfTask(task)[0], 'f1');
});
