// Brings a checkpoint's weights onto the device. Their bytes are touched as seldom as can be: each is read from the file into
// memory that TensorFlow takes as it is, and matrices, which have to be transposed, all go through the same memory, since
// fresh memory costs more than the reading: the kernel clears every page of it first.
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts';
import { elementCount } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';

/** TensorFlow shares memory that starts at a multiple of 64 bytes, and copies any other. Large buffers of Node usually start 16
 * bytes into a page. */
const ALIGNMENT_OFFSET = 48;

/** What is read of a checkpoint. */
export type WeightSource = Pick<Checkpoint, 'shape' | 'tensorSync'>;

export class WeightUpload {
  readonly #ops: Ops;
  readonly #checkpoint: WeightSource;
  #scratch: Float32Array = new Float32Array(0);

  constructor(ops: Ops, checkpoint: WeightSource) {
    this.#ops = ops;
    this.#checkpoint = checkpoint;
  }

  /** A weight in its stored shape, times `factor`. @throws EspalierError of the checkpoint's reading. */
  tensor(name: string, factor = 1): DeviceTensor {
    return this.#joined([name], [...this.#checkpoint.shape(name)], [factor]);
  }

  /** One-dimensional weights one after the other, each times its factor. */
  vector(names: readonly string[], factors: readonly number[]): DeviceTensor {
    const length = names.reduce((sum, name) => sum + elementCount(this.#checkpoint.shape(name)), 0);
    return this.#joined(names, [length], factors);
  }

  /** Matrices [outputs, inputs] of one shape side by side, each times its factor: [inputs, names · outputs]. */
  kernel(names: readonly string[], factors: readonly number[]): DeviceTensor {
    const [outputs, inputs] = this.#checkpoint.shape(names[0]!) as [number, number];
    const shape = [names.length * outputs, inputs];
    const { engine } = this.#ops;
    // TensorFlow transposes a matrix of one row or column by sharing its memory: that cannot be used again.
    const isShared = shape.includes(1);
    return engine.scope(() => {
      const stored = isShared ? this.#joined(names, shape, factors) : this.#joinedInScratch(names, shape, factors);
      return this.#ops.transpose(stored, [1, 0]);
    });
  }

  #joined(names: readonly string[], shape: number[], factors: readonly number[]): DeviceTensor {
    const values = alignedFloat32(elementCount(shape));
    this.#read(names, factors, values);
    return this.#ops.engine.upload(values, shape);
  }

  /** As `#joined`, but it has to be released before the next one: what was read is in the same memory. A GPU has its own copy
   * when `upload` returns, and a CPU's operations have ended when they return. */
  #joinedInScratch(names: readonly string[], shape: number[], factors: readonly number[]): DeviceTensor {
    const count = elementCount(shape);
    if (this.#scratch.length < count) this.#scratch = alignedFloat32(count);
    const values = this.#scratch.subarray(0, count);
    this.#read(names, factors, values);
    return this.#ops.engine.upload(values, shape);
  }

  #read(names: readonly string[], factors: readonly number[], target: Float32Array): void {
    const each = target.length / names.length;
    names.forEach((name, i) => {
      const values = this.#checkpoint.tensorSync(name, target.subarray(i * each, (i + 1) * each));
      const factor = factors[i]!;
      if (factor !== 1) for (let j = 0; j < values.length; j++) values[j]! *= factor;
    });
  }
}

function alignedFloat32(count: number): Float32Array {
  return new Float32Array(new ArrayBuffer(ALIGNMENT_OFFSET + 4 * count), ALIGNMENT_OFFSET, count);
}
