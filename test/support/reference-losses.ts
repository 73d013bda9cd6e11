// The training losses of the tasks on one sample's logits, in float64, with their gradients.
import { softmax } from './reference-math.ts';

export interface LossValue {
  readonly loss: number;
  /** dloss / dlogits, of the logits' shape. */
  readonly gradient: Float64Array;
}

/** Cross-entropy of the classes. @param logits [classes] */
export function crossEntropy(logits: Float64Array, label: number): LossValue {
  const { logSum, shares } = softmax(logits);
  return { loss: logSum - logits[label], gradient: shares.map((share, i) => share - (i === label ? 1 : 0)) };
}

/** Binary cross-entropy, mean over labels. @param logits [labels] @param targets 0 or 1 each */
export function binaryCrossEntropy(logits: Float64Array, targets: readonly number[]): LossValue {
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
export function squaredError(logits: Float64Array, targets: readonly number[]): LossValue {
  const errors = logits.map((logit, i) => logit - targets[i]);
  return {
    loss: errors.reduce((sum, error) => sum + error * error, 0) / logits.length,
    gradient: errors.map((error) => (2 * error) / logits.length),
  };
}

/** Token classification: cross-entropy, mean over the tokens whose label is not negative.
 * @param logits [tokens, classes] */
export function tokenCrossEntropy(logits: Float64Array, classes: number, labels: readonly number[]): LossValue {
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

/** Question answering: mean of the cross-entropies of start and end over the first `positions` positions.
 * @param logits [tokens, 2] */
export function spanCrossEntropy(logits: Float64Array, start: number, end: number, positions: number): LossValue {
  const gradient = new Float64Array(logits.length);
  let loss = 0;
  [start, end].forEach((answer, side) => {
    const one = crossEntropy(
      Float64Array.from({ length: positions }, (_, token) => logits[token * 2 + side]),
      answer,
    );
    loss += one.loss / 2;
    one.gradient.forEach((value, token) => {
      gradient[token * 2 + side] = value / 2;
    });
  });
  return { loss, gradient };
}
