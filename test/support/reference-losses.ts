// The training losses of the tasks on one sample's logits, in float64, with their gradients.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { softmax } from './reference-math.ts';

export interface LossValue {
  readonly loss: number;
  /** dloss / dlogits, of the logits' shape. */
  readonly gradient: Float64Array;
}

/** The loss of a model's task. @param logits of a sample without padding. @param target as an encoded sample has it. */
export function referenceLoss(
  { task, outputs }: Pick<ModelConfig, 'task' | 'outputs'>,
  logits: Float64Array,
  target: readonly number[],
): LossValue {
  switch (task) {
    case 'single-label-classification':
      return crossEntropy(logits, target[0]);
    case 'multi-label-classification':
      return binaryCrossEntropy(logits, target);
    case 'regression':
      return squaredError(logits, target);
    case 'token-classification':
      return tokenCrossEntropy(logits, outputs, target);
    case 'question-answering':
      return spanCrossEntropy(logits, target[0], target[1]);
  }
}

/** Cross-entropy of the classes. @param logits [classes] */
export function crossEntropy(logits: Float64Array, label: number): LossValue {
  const { logSum, shares } = softmax(logits);
  return { loss: logSum - logits[label], gradient: shares.map((share, i) => share - (i === label ? 1 : 0)) };
}

/** Binary cross-entropy, mean over labels. @param logits [labels] @param targets 0 or 1 each */
function binaryCrossEntropy(logits: Float64Array, targets: readonly number[]): LossValue {
  let loss = 0;
  const gradient = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    loss +=
      (Math.max(logits[i], 0) - logits[i] * targets[i] + Math.log1p(Math.exp(-Math.abs(logits[i])))) / logits.length;
    gradient[i] = (1 / (1 + Math.exp(-logits[i])) - targets[i]) / logits.length;
  }
  return { loss, gradient };
}

/** Squared error, mean over outputs. */
function squaredError(logits: Float64Array, targets: readonly number[]): LossValue {
  const errors = logits.map((logit, i) => logit - targets[i]);
  return {
    loss: errors.reduce((sum, error) => sum + error * error, 0) / logits.length,
    gradient: errors.map((error) => (2 * error) / logits.length),
  };
}

/** Token classification: cross-entropy, mean over the tokens whose label is not negative.
 * @param logits [tokens, classes] */
function tokenCrossEntropy(logits: Float64Array, classes: number, labels: readonly number[]): LossValue {
  const gradient = new Float64Array(logits.length);
  const counted = labels.filter((label) => label >= 0).length;
  let loss = 0;
  labels.forEach((label, token) => {
    if (label < 0) return;
    const one = crossEntropy(logits.slice(token * classes, (token + 1) * classes), label);
    loss += one.loss / counted;
    gradient.set(
      one.gradient.map((value) => value / counted),
      token * classes,
    );
  });
  return { loss, gradient };
}

/** Question answering: mean of the cross-entropies of start and end over the tokens. @param logits [tokens, 2] */
function spanCrossEntropy(logits: Float64Array, start: number, end: number): LossValue {
  const gradient = new Float64Array(logits.length);
  let loss = 0;
  [start, end].forEach((answer, side) => {
    const one = crossEntropy(
      Float64Array.from({ length: logits.length / 2 }, (_, token) => logits[token * 2 + side]),
      answer,
    );
    loss += one.loss / 2;
    one.gradient.forEach((value, token) => {
      gradient[token * 2 + side] = value / 2;
    });
  });
  return { loss, gradient };
}
