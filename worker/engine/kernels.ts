// The formulas of an encoder layer that are more than one TensorFlow operation, each with its gradient: plain kernels.
import type { Activation } from '../../checkpoint/model-config.ts';
import type { DeviceTensor } from './engine.ts';
import type { Ops } from './ops.ts';

export interface NormWeights {
  /** [D] */
  readonly gamma: DeviceTensor;
  /** [D] */
  readonly beta: DeviceTensor;
}

export interface NormResult {
  readonly y: DeviceTensor;
  /** The input, centred and scaled to unit variance. */
  readonly normalized: DeviceTensor;
  /** 1 / standard deviation of each row, [rows, 1]. */
  readonly inverseDeviation: DeviceTensor;
}

export interface ActivationResult {
  /** The activations, in the scale that `activationScale` says. */
  readonly a: DeviceTensor;
  /** What the gradient needs beside the input. */
  readonly saved: DeviceTensor | null;
}

/** Factors by which FFN weights are multiplied once, so that an activation costs fewer operations: with h = u/√2,
 * gelu(u) = (h + h·erf(h))/√2, the first √2 goes into W_1 and b_1, the second into W_2. */
export const ACTIVATION_SCALES: Readonly<Record<Activation, { readonly input: number; readonly output: number }>> = {
  gelu: { input: Math.SQRT1_2, output: Math.SQRT1_2 },
  'gelu-tanh': { input: 1, output: 0.5 },
  relu: { input: 1, output: 1 },
};

const TANH_INNER = Math.sqrt(2 / Math.PI);
const TANH_CUBIC = 0.044715;

export class Kernels {
  private readonly ops: Ops;

  constructor(ops: Ops) {
    this.ops = ops;
  }

  /** Rows of x to mean 0 and variance 1, then gamma and beta. x [rows, D]. */
  layerNorm(x: DeviceTensor, weights: NormWeights, epsilon: number): NormResult {
    const { ops } = this;
    const centred = ops.sub(x, ops.meanLast(x));
    const variance = ops.meanLast(ops.square(centred));
    const inverseDeviation = ops.rsqrt(ops.add(variance, ops.engine.scalar(epsilon)));
    const normalized = ops.mul(centred, inverseDeviation);
    const y = ops.biasAdd(ops.mul(normalized, weights.gamma), weights.beta);
    return { y, normalized, inverseDeviation };
  }

  /** Gradient of layerNorm with respect to x: (g − mean(g) − n·mean(g·n))·r, with g = dy·gamma. */
  layerNormGrad(dy: DeviceTensor, weights: NormWeights, saved: Omit<NormResult, 'y'>): DeviceTensor {
    const { ops } = this;
    const scaled = ops.mul(dy, weights.gamma);
    const projection = ops.meanLast(ops.mul(scaled, saved.normalized));
    const centred = ops.sub(ops.sub(scaled, ops.meanLast(scaled)), ops.mul(saved.normalized, projection));
    return ops.mul(centred, saved.inverseDeviation);
  }

  /** The activation of h, where h and the result carry the factors of ACTIVATION_SCALES. h [rows, neurons]. */
  activation(kind: Activation, h: DeviceTensor): ActivationResult {
    const { ops } = this;
    switch (kind) {
      case 'gelu': {
        const e = ops.erf(h);
        return { a: ops.add(h, ops.mul(h, e)), saved: e };
      }
      case 'gelu-tanh': {
        const cube = ops.mul(ops.square(h), ops.mul(h, ops.engine.scalar(TANH_CUBIC)));
        const t = ops.tanh(ops.mul(ops.add(h, cube), ops.engine.scalar(TANH_INNER)));
        return { a: ops.add(h, ops.mul(h, t)), saved: t };
      }
      case 'relu':
        return { a: ops.relu(h), saved: null };
    }
  }

  /** Gradient of `activation` with respect to h. */
  activationGrad(kind: Activation, da: DeviceTensor, h: DeviceTensor, saved: DeviceTensor | null): DeviceTensor {
    const { ops } = this;
    const { engine } = ops;
    switch (kind) {
      case 'gelu': {
        // d(h + h·erf h) = 1 + erf h + h·(2/√π)·exp(−h²)
        const bell = ops.mul(ops.mul(h, engine.scalar(2 / Math.sqrt(Math.PI))), ops.exp(ops.neg(ops.square(h))));
        return ops.mul(da, ops.add(ops.add(bell, saved!), engine.scalar(1)));
      }
      case 'gelu-tanh': {
        // d(h + h·t) = 1 + t + h·(1 − t²)·√(2/π)·(1 + 3·0.044715·h²)
        const inner = ops.add(
          ops.mul(ops.square(h), engine.scalar(3 * TANH_CUBIC * TANH_INNER)),
          engine.scalar(TANH_INNER),
        );
        const slope = ops.tanhGrad(saved!, ops.mul(h, inner));
        return ops.mul(da, ops.add(ops.add(slope, saved!), engine.scalar(1)));
      }
      case 'relu':
        return ops.reluGrad(da, h);
    }
  }

  /** Gradient of a softmax with respect to its input: p·(dp − Σ p·dp), over the last axis. */
  softmaxGrad(p: DeviceTensor, dp: DeviceTensor): DeviceTensor {
    const { ops } = this;
    const product = ops.mul(p, dp);
    return ops.sub(product, ops.mul(p, ops.sumLast(product)));
  }
}
