// Operations of which the host computes those that TensorFlow compiles when they are first used on a GPU, a tenth of a second each:
// for kernels that are run on a few numbers, once.
import type { DeviceTensor } from '../engine.ts';
import { Ops } from '../ops.ts';

export class HostFunctions extends Ops {
  override rsqrt(x: DeviceTensor): DeviceTensor {
    return this.#map(x, (value) => 1 / Math.sqrt(value));
  }

  override exp(x: DeviceTensor): DeviceTensor {
    return this.#map(x, Math.exp);
  }

  override erf(x: DeviceTensor): DeviceTensor {
    return this.#map(x, erf);
  }

  override relu(x: DeviceTensor): DeviceTensor {
    return this.#map(x, (value) => Math.max(0, value));
  }

  // Float32 alone.
  #map(x: DeviceTensor, compute: (value: number) => number): DeviceTensor {
    const { engine } = this;
    return engine.upload(engine.downloadFloat32(x).map(compute), [...x.shape]);
  }
}

/** Abramowitz and Stegun, 7.1.26, within 1.5e-7. */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - sum * Math.exp(-x * x));
}
