// Many small arrays for the device in one upload. An upload to a GPU waits until everything that was issued before it is
// done, so whoever uploads in the middle of a pass leaves the GPU idle. What is packed goes up before the pass begins, and
// its parts are cut out on the device.
import { type DeviceTensor, type Engine, FLOAT, INT32, type } from './engine.ts';
import type { Ops } from './ops.ts';

/** Where an array lies in its upload. */
export interface PackedPart {
  /** Element at which it begins. */
  readonly first: number;
  readonly shape: readonly number[];
  readonly dtype: typeof FLOAT | typeof INT32;
}

export class PackedUpload {
  readonly #arrays: (Float32Array | Int32Array)[] = [];
  #length = 0;

  /** Packs an array, which must not change before `send`. */
  add(data: Float32Array | Int32Array, shape: readonly number[]): PackedPart {
    const part = { first: this.#length, shape, dtype: data instanceof Float32Array ? FLOAT : INT32 } as const;
    this.#arrays.push(data);
    this.#length += data.length;
    return part;
  }

  /** Sends everything. The tensor belongs to the scope that is open. */
  send(engine: Engine): DeviceTensor {
    // Integers travel as float32 of the same bits: TensorFlow keeps int32 tensors in the host's memory.
    const bits = new Int32Array(this.#length);
    let at = 0;
    for (const array of this.#arrays) {
      bits.set(new Int32Array(array.buffer, array.byteOffset, array.length), at);
      at += array.length;
    }
    return engine.upload(new Float32Array(bits.buffer), [bits.length]);
  }
}

/** A part as a tensor of its own. @param sent what `send` gave. */
export function unpack(ops: Ops, sent: DeviceTensor, { first, shape, dtype }: PackedPart): DeviceTensor {
  const length = shape.reduce((product, size) => product * size, 1);
  const flat = ops.slice(sent, [first], [length]);
  const shaped = shape.length === 1 ? flat : ops.reshape(flat, shape);
  return dtype === FLOAT ? shaped : ops.engine.op('Bitcast', [shaped], [type('T', FLOAT), type('type', INT32)]);
}
