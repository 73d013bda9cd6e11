// Exact conversions between float32 and the two 16-bit formats, which are carried as raw bits.

/** What rounding to 16 bits gave. */
export interface Rounded {
  readonly bits: Uint16Array;
  /** Index of the first finite value that became infinite, or -1. */
  readonly overflowAt: number;
}

let halfTable: Uint32Array | undefined;

/** Float16 bits to float32, exact; NaN payloads are kept. @param values where they go, of as many elements. */
export function float16ToFloat32(
  bits: Uint16Array,
  values: Float32Array = new Float32Array(bits.length),
): Float32Array {
  halfTable ??= Uint32Array.from({ length: 65536 }, (_, half) => float16BitsToFloat32Bits(half));
  const raw = new Uint32Array(values.buffer, values.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) raw[i] = halfTable[bits[i]];
  return values;
}

/** Bfloat16 bits to float32, exact: a bfloat16 is the upper half of a float32. @param values where they go, of as many elements. */
export function bfloat16ToFloat32(
  bits: Uint16Array,
  values: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const raw = new Uint32Array(values.buffer, values.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) raw[i] = bits[i] << 16;
  return values;
}

/** Float32 to the nearest float16, ties to even. Infinities and NaN stay what they are. */
export function float32ToFloat16(values: Float32Array): Rounded {
  const raw = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  let overflowAt = -1;
  for (let i = 0; i < raw.length; i++) {
    const sign = (raw[i] >>> 16) & 0x8000;
    const magnitude = raw[i] & 0x7fffffff;
    let half: number;
    if (magnitude > 0x7f800000) {
      half = 0x7e00 | ((magnitude >>> 13) & 0x1ff); // NaN, made quiet
    } else if (magnitude >= 0x477ff000) {
      half = 0x7c00; // 65520 and more, the midpoint between 65504 and 2^16
      if (magnitude < 0x7f800000 && overflowAt < 0) overflowAt = i;
    } else if (magnitude >= 0x38800000) {
      // Normal, 2^-14 and more: drop 13 bits of the mantissa and move the exponent's bias from 127 to 15.
      half = (magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13;
    } else {
      half = roundToEven(Math.abs(values[i]) * 2 ** 24); // subnormals are whole multiples of 2^-24
    }
    bits[i] = sign | half;
  }
  return { bits, overflowAt };
}

/** Float32 to the nearest bfloat16, ties to even. Infinities and NaN stay what they are. */
export function float32ToBfloat16(values: Float32Array): Rounded {
  const raw = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  let overflowAt = -1;
  for (let i = 0; i < raw.length; i++) {
    const magnitude = raw[i] & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      bits[i] = (raw[i] >>> 16) | 0x40; // NaN, made quiet: its payload may lie in the dropped half
    } else {
      bits[i] = (raw[i] + 0x7fff + ((raw[i] >>> 16) & 1)) >>> 16;
      if (overflowAt < 0 && magnitude < 0x7f800000 && (bits[i] & 0x7fff) === 0x7f80) overflowAt = i;
    }
  }
  return { bits, overflowAt };
}

function float16BitsToFloat32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  const subnormal = new Uint32Array(Float32Array.of(mantissa * 2 ** -24).buffer)[0];
  return sign | subnormal;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
