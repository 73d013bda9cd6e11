// Float64 building blocks of the reference encoder, each with its backward, written for clarity, not for speed.
// Matrices are row-major; a linear layer's weight is [outputs, inputs], as Hugging Face stores it.

/** x·Wᵀ + b. @param x [rows, inputs] @returns [rows, outputs]. */
export function linear(x: Float64Array, weight: Float64Array, bias: Float64Array, inputs: number): Float64Array {
  const outputs = bias.length;
  const rows = inputs === 0 ? 0 : x.length / inputs;
  const y = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++)
    for (let o = 0; o < outputs; o++) {
      let sum = bias[o];
      for (let i = 0; i < inputs; i++) sum += x[row * inputs + i] * weight[o * inputs + i];
      y[row * outputs + o] = sum;
    }
  return y;
}

/** dx = dy·W. @param dy [rows, outputs] @returns [rows, inputs]. */
export function linearBackward(dy: Float64Array, weight: Float64Array, inputs: number, outputs: number): Float64Array {
  const rows = outputs === 0 ? 0 : dy.length / outputs;
  const dx = new Float64Array(rows * inputs);
  for (let row = 0; row < rows; row++)
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++) dx[row * inputs + i] += dy[row * outputs + o] * weight[o * inputs + i];
  return dx;
}

export interface Norm {
  readonly gain: Float64Array;
  readonly shift: Float64Array;
  readonly eps: number;
}

/** LayerNorm over the last axis. */
export function layerNorm(x: Float64Array, norm: Norm): Float64Array {
  const width = norm.gain.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const { mean, deviation } = moments(x, start, width, norm.eps);
    for (let i = 0; i < width; i++) y[start + i] = ((x[start + i] - mean) / deviation) * norm.gain[i] + norm.shift[i];
  }
  return y;
}

export function layerNormBackward(dy: Float64Array, x: Float64Array, norm: Norm): Float64Array {
  const width = norm.gain.length;
  const dx = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const { mean, deviation } = moments(x, start, width, norm.eps);
    let sum = 0;
    let weighted = 0;
    for (let i = 0; i < width; i++) {
      const g = dy[start + i] * norm.gain[i];
      sum += g;
      weighted += (g * (x[start + i] - mean)) / deviation;
    }
    for (let i = 0; i < width; i++) {
      const normalised = (x[start + i] - mean) / deviation;
      dx[start + i] = (dy[start + i] * norm.gain[i] - sum / width - (normalised * weighted) / width) / deviation;
    }
  }
  return dx;
}

function moments(x: Float64Array, start: number, width: number, eps: number): { mean: number; deviation: number } {
  let mean = 0;
  for (let i = 0; i < width; i++) mean += x[start + i] / width;
  let variance = 0;
  for (let i = 0; i < width; i++) variance += (x[start + i] - mean) ** 2 / width;
  return { mean, deviation: Math.sqrt(variance + eps) };
}

/** erf to float64 rounding: Maclaurin series below 3, continued fraction of erfc above. */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size < 3) {
    let term = size;
    let sum = size;
    for (let n = 1; Math.abs(term) > 1e-18 * sum; n++) {
      term *= (-size * size) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * sum * (2 / Math.sqrt(Math.PI));
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction));
}

/** Value and derivative of an activation. */
export function activate(name: 'gelu' | 'gelu-tanh' | 'relu', x: number): { value: number; slope: number } {
  if (name === 'relu') return { value: Math.max(0, x), slope: x > 0 ? 1 : 0 };
  if (name === 'gelu') {
    const share = 0.5 * (1 + erf(x / Math.SQRT2));
    return { value: x * share, slope: share + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI) };
  }
  const scale = Math.sqrt(2 / Math.PI);
  const tanh = Math.tanh(scale * (x + 0.044715 * x ** 3));
  const slope = 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh ** 2) * scale * (1 + 3 * 0.044715 * x ** 2);
  return { value: 0.5 * x * (1 + tanh), slope };
}

/** log Σ exp, and the softmax. */
export function softmax(scores: Float64Array): { logSum: number; shares: Float64Array } {
  const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp(score - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return { logSum: top + Math.log(sum), shares: weights.map((weight) => weight / sum) };
}

export function addInto(target: Float64Array, other: Float64Array): Float64Array {
  for (let at = 0; at < other.length; at++) target[at] += other[at];
  return target;
}
