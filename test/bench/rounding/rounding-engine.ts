// An engine on the CPU whose passes round what their products multiply: what `Engine.withPrecision('tf32', …)` holds, without the
// sums over positions that systems are made of. Its kernels are plain: all their products are TensorFlow's.
import { loadBinding, type OpAttribute } from '../../../worker/engine/binding.ts';
import { Engine } from '../../../worker/engine/engine.ts';
import { PlainKernels } from '../../../worker/engine/kernels/plain-kernels.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { roundingBinding } from '../../support/rounding-binding.ts';
import type { StoredBits } from './figures.ts';

export class RoundingEngine {
  readonly engine: Engine;
  readonly kernels: PlainKernels;
  #bits: StoredBits = null;
  #isPass = false;

  constructor() {
    const bitsOf = (attributes: readonly OpAttribute[]) =>
      this.#isPass && !sumsPositions(attributes) ? this.#bits : null;
    const precision = {
      allowTf32: (isPass: boolean) => {
        this.#isPass = isPass;
      },
      computeCapability: () => 0,
    };
    this.engine = new Engine(roundingBinding(loadBinding(), bitsOf), precision);
    this.kernels = new PlainKernels(new Ops(this.engine));
  }

  /** Runs `body` with passes that round to so many bits. */
  async withBits<T>(bits: StoredBits, body: () => Promise<T>): Promise<T> {
    this.#bits = bits;
    try {
      return await body();
    } finally {
      this.#bits = null;
    }
  }
}

/** Only what is summed over positions multiplies rows by rows: no pass has gradients of weights. */
function sumsPositions(attributes: readonly OpAttribute[]): boolean {
  return attributes.some(({ name, value }) => name === 'transpose_a' && value === true);
}
