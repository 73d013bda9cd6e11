// The order of importance: falling values, equal ones by rising index. Sorted digit by digit of the numbers' bits, which takes
// a tenth of the time of comparing.
import { EspalierError } from '../shared/errors.ts';

const DIGIT_BITS = 11;
const DIGITS = 2 ** DIGIT_BITS;

/** Indices by falling value; equal values by rising index, which is lower layer, then lower index.
 * @throws EspalierError "not_finite" when a value cannot be ordered. */
export function descending(values: Float64Array): Int32Array {
  const { low, high } = fallingKeys(values);
  const size = values.length;
  let order = new Int32Array(size);
  for (let i = 0; i < size; i++) order[i] = i;
  let next = new Int32Array(size);
  for (const half of [low, high])
    for (let shift = 0; shift < 32; shift += DIGIT_BITS) {
      const starts = new Int32Array(DIGITS + 1);
      for (let i = 0; i < size; i++) starts[((half[i] >>> shift) & (DIGITS - 1)) + 1]++;
      if (starts.includes(size)) continue;
      for (let digit = 0; digit < DIGITS; digit++) starts[digit + 1] += starts[digit];
      for (let at = 0; at < size; at++) {
        const i = order[at];
        next[starts[(half[i] >>> shift) & (DIGITS - 1)]++] = i;
      }
      [order, next] = [next, order];
    }
  return order;
}

/** Integers of 64 bits that rise where the values fall. */
function fallingKeys(values: Float64Array): { low: Uint32Array; high: Uint32Array } {
  const size = values.length;
  const low = new Uint32Array(size);
  const high = new Uint32Array(size);
  const bits = new DataView(new ArrayBuffer(Float64Array.BYTES_PER_ELEMENT));
  for (let i = 0; i < size; i++) {
    if (!Number.isFinite(values[i]))
      throw new EspalierError('not_finite', `importance ${i}: got ${values[i]}, expected a finite number`);
    bits.setFloat64(0, values[i] + 0); // −0 is 0
    const top = bits.getUint32(0);
    const isNegative = top >= 2 ** 31;
    // The bits of a number without its sign rise with its size.
    high[i] = isNegative ? top : ~top & 0x7fffffff;
    low[i] = isNegative ? bits.getUint32(4) : ~bits.getUint32(4);
  }
  return { low, high };
}
