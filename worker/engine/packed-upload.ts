// Many small arrays for the device in one upload. An upload to a GPU waits until everything that was issued before it is
// done, so whoever uploads in the middle of a pass leaves the GPU idle. What is packed goes up before the pass begins, and
// its parts are cut out on the device.
import { type DeviceTensor, FLOAT, INT32, type } from './engine.ts';
import type { Ops } from './ops.ts';

/** Where an array lies in its upload. */
export interface PackedPart {
  /** Its number. */
  readonly index: number;
  readonly shape: readonly number[];
  readonly dtype: typeof FLOAT | typeof INT32;
}

/** The parts of an upload, in the order in which they were packed: float32 [length], whatever they are. */
export type SentUpload = readonly DeviceTensor[];

export class PackedUpload {
  readonly #arrays: (Float32Array | Int32Array)[] = [];

  /** Packs an array, which must not change before `send`. */
  add(data: Float32Array | Int32Array, shape: readonly number[]): PackedPart {
    this.#arrays.push(data);
    return { index: this.#arrays.length - 1, shape, dtype: data instanceof Float32Array ? FLOAT : INT32 };
  }

  /** Sends everything and cuts it, in one operation for all parts. The tensors belong to the scope that is open. */
  send(ops: Ops): SentUpload {
    if (this.#arrays.length === 0) return [];
    const sizes = this.#arrays.map(({ length }) => length);
    // Integers travel as float32 of the same bits: TensorFlow keeps int32 tensors in the host's memory.
    const bits = new Int32Array(sizes.reduce((sum, size) => sum + size, 0));
    let at = 0;
    for (const array of this.#arrays) {
      bits.set(new Int32Array(array.buffer, array.byteOffset, array.length), at);
      at += array.length;
    }
    return ops.split(ops.engine.upload(new Float32Array(bits.buffer), [bits.length]), sizes, 0);
  }
}

/** A part as a tensor of its own, of the scope that is open or of that of `sent`. @param sent what `send` gave. */
export function unpack(ops: Ops, sent: SentUpload, { index, shape, dtype }: PackedPart): DeviceTensor {
  const flat = sent[index];
  const shaped = shape.length === 1 ? flat : ops.reshape(flat, shape);
  return dtype === FLOAT ? shaped : ops.engine.op('Bitcast', [shaped], [type('T', FLOAT), type('type', INT32)]);
}
