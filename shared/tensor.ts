// A named block of numbers, as it lies in files and travels between processes. Row-major, little-endian.

/** Element types, named as in safetensors. F16 and BF16 are carried as their 16 raw bits. */
export type DType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I32' | 'I64' | 'U8';

export type TensorData = Float64Array | Float32Array | Uint16Array | Int32Array | BigInt64Array | Uint8Array;

export interface NamedTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Sizes of the axes; empty for a scalar; a size may be 0. */
  readonly shape: readonly number[];
  /** Exactly the product of `shape` elements. */
  readonly data: TensorData;
}

/** Bytes of one element. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 };

export function isDType(text: string): text is DType {
  return Object.hasOwn(DTYPE_BYTES, text);
}

/** Product of the sizes; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Views `bytes` as elements of `dtype`, copying first where the byte offset is not aligned (a decoded protobuf field
 * starts at any offset). @throws RangeError when the length is no multiple of the element size. */
export function viewAs(dtype: DType, bytes: Uint8Array): TensorData {
  const size = DTYPE_BYTES[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset } = aligned;
  if (aligned.byteLength % size !== 0)
    throw new RangeError(`${aligned.byteLength} bytes are no whole number of ${dtype} elements`);
  const length = aligned.byteLength / size;
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer, byteOffset, length);
    case 'F32':
      return new Float32Array(buffer, byteOffset, length);
    case 'F16':
    case 'BF16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'I32':
      return new Int32Array(buffer, byteOffset, length);
    case 'I64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'U8':
      return new Uint8Array(buffer, byteOffset, length);
  }
}
