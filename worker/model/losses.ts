// Losses of single samples and their gradients with respect to the logits, on the host in float64: logits are small, and
// one plain formula a task is easier to trust than a graph.
import type { ModelConfig, TaskKind } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import { EspalierError } from '../../shared/errors.ts';

export interface SampleLoss {
  readonly loss: number;
  /** ∂loss/∂logits, as long as the logits. */
  readonly gradient: Float64Array;
}

/** Checks that a sample has the target that its loss needs (see EncodedSample.target).
 * @throws EspalierError "protocol" that begins with `name`. */
export function checkTarget(
  { task, outputs }: Pick<ModelConfig, 'task' | 'outputs'>,
  { tokenIds, target }: Pick<EncodedSample, 'tokenIds' | 'target'>,
  name: string,
): void {
  const { count, expected, fits } = expectedTarget(task, outputs, tokenIds.length);
  if (target.length !== count)
    throw new EspalierError('protocol', `${name}: got a target of ${target.length} numbers, expected ${count}`);
  for (const value of target)
    if (!fits(value)) throw new EspalierError('protocol', `${name}: got target ${value}, expected ${expected}`);
}

function expectedTarget(task: TaskKind, outputs: number, tokens: number) {
  const below = (end: number) => (value: number) => Number.isInteger(value) && value >= 0 && value < end;
  const isClass = below(outputs);
  const classes = `a class from 0 to ${outputs - 1}`;
  switch (task) {
    case 'single-label-classification':
      return { count: 1, expected: classes, fits: isClass };
    case 'multi-label-classification':
      return { count: outputs, expected: '0 to 1', fits: (value: number) => value >= 0 && value <= 1 };
    case 'regression':
      return { count: outputs, expected: 'a finite number', fits: Number.isFinite };
    case 'token-classification':
      return {
        count: tokens,
        expected: `${classes}, or -100`,
        fits: (value: number) => value === -100 || isClass(value),
      };
    case 'question-answering':
      return { count: 2, expected: `a token from 0 to ${tokens - 1}`, fits: below(tokens) };
  }
}

/** Loss of one sample.
 * - single-label: cross-entropy · multi-label: mean binary cross-entropy over the labels · regression: mean squared error
 * - token-classification: mean cross-entropy over the tokens whose target is not -100; 0 where there is none
 * - question-answering: mean of the start and the end cross-entropy over the sample's own tokens
 * @param logits [outputs], or row-major [tokens, outputs] by unpadded token.
 * @param target see EncodedSample.target; `checkTarget` holds for it. */
export function sampleLoss(
  task: TaskKind,
  logits: ArrayLike<number>,
  target: Float32Array,
  outputs: number,
): SampleLoss {
  switch (task) {
    case 'single-label-classification':
      return crossEntropy(logits, target[0]!);
    case 'multi-label-classification':
      return binaryCrossEntropy(logits, target);
    case 'regression':
      return squaredError(logits, target);
    case 'token-classification':
      return tokenCrossEntropy(logits, target, outputs);
    case 'question-answering':
      return spanCrossEntropy(logits, target);
  }
}

// −log softmax(z)[c]; gradient softmax(z) − 1_c.
function crossEntropy(logits: ArrayLike<number>, target: number): SampleLoss {
  const size = logits.length;
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < size; i++) largest = Math.max(largest, logits[i]!);
  let total = 0;
  const gradient = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    gradient[i] = Math.exp(logits[i]! - largest);
    total += gradient[i]!;
  }
  for (let i = 0; i < size; i++) gradient[i]! /= total;
  const loss = Math.log(total) + largest - logits[target]!;
  gradient[target]! -= 1;
  return { loss, gradient };
}

function binaryCrossEntropy(logits: ArrayLike<number>, target: Float32Array): SampleLoss {
  const size = logits.length;
  const gradient = new Float64Array(size);
  let loss = 0;
  for (let i = 0; i < size; i++) {
    const z = logits[i]!;
    loss += (Math.max(z, 0) - z * target[i]! + Math.log1p(Math.exp(-Math.abs(z)))) / size;
    gradient[i] = (1 / (1 + Math.exp(-z)) - target[i]!) / size;
  }
  return { loss, gradient };
}

function squaredError(logits: ArrayLike<number>, target: Float32Array): SampleLoss {
  const size = logits.length;
  const gradient = new Float64Array(size);
  let loss = 0;
  for (let i = 0; i < size; i++) {
    const error = logits[i]! - target[i]!;
    loss += (error * error) / size;
    gradient[i] = (2 * error) / size;
  }
  return { loss, gradient };
}

function tokenCrossEntropy(logits: ArrayLike<number>, target: Float32Array, outputs: number): SampleLoss {
  const gradient = new Float64Array(logits.length);
  const labelled = target.reduce((count, label) => count + (label >= 0 ? 1 : 0), 0);
  let loss = 0;
  for (let t = 0; t < target.length; t++) {
    if (target[t]! < 0) continue;
    const row = Float64Array.from({ length: outputs }, (_, i) => logits[t * outputs + i]!);
    const token = crossEntropy(row, target[t]!);
    loss += token.loss / labelled;
    for (let i = 0; i < outputs; i++) gradient[t * outputs + i] = token.gradient[i]! / labelled;
  }
  return { loss, gradient };
}

// Logits are [tokens, 2]: start and end.
function spanCrossEntropy(logits: ArrayLike<number>, target: Float32Array): SampleLoss {
  const tokens = logits.length / 2;
  const gradient = new Float64Array(logits.length);
  let loss = 0;
  for (const side of [0, 1]) {
    const column = Float64Array.from({ length: tokens }, (_, t) => logits[t * 2 + side]!);
    const part = crossEntropy(column, target[side]!);
    loss += part.loss / 2;
    for (let t = 0; t < tokens; t++) gradient[t * 2 + side] = part.gradient[t]! / 2;
  }
  return { loss, gradient };
}
