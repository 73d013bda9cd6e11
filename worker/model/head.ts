// The head of a model: logits from the last hidden states, and the gradient back to them.
import { headActivation } from '../../checkpoint/weight-names.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { EncoderWeights } from './encoder-weights.ts';
import type { Forward } from './forward.ts';

export interface HeadPass {
  /** [rows, outputs]: a row a sample, or a row a token (padding included) where the task is by token. */
  readonly logits: DeviceTensor;
  /** Output of the dense layer after its activation, [b, D]; null without one. */
  readonly dense: DeviceTensor | null;
}

/** Logits. @param x last hidden states: [b, D] first tokens for sequence classification, else [b·n, D]. */
export function headForward(forward: Forward, weights: EncoderWeights, x: DeviceTensor): HeadPass {
  const { ops } = forward;
  if (weights.headDense === null) return { logits: forward.linear(x, weights.headOutput), dense: null };
  const hidden = forward.linear(x, weights.headDense);
  const dense = headActivation(weights.config) === 'relu' ? ops.relu(hidden) : ops.tanh(hidden);
  return { logits: forward.linear(dense, weights.headOutput), dense };
}

/** Gradient of the last hidden states, in their shape. @param gradient of the logits, [rows, outputs]. */
export function headBackward(
  forward: Forward,
  weights: EncoderWeights,
  pass: HeadPass,
  gradient: DeviceTensor,
): DeviceTensor {
  const { ops } = forward;
  const dx = ops.matMul(gradient, weights.headOutput.kernel, false, true);
  if (weights.headDense === null) return dx;
  if (pass.dense === null) throw new EspalierError('internal', 'head: got no saved dense output, expected one');
  const dh = headActivation(weights.config) === 'relu' ? ops.reluGrad(dx, pass.dense) : ops.tanhGrad(pass.dense, dx);
  return ops.matMul(dh, weights.headDense.kernel, false, true);
}
