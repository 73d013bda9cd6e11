// Refuses a model with NaN or infinite weights before any time is spent on it.
import { EspalierError } from '../shared/errors.ts';
import { viewAs } from '../shared/tensor.ts';
import type { Checkpoint, WeightDType } from './open-checkpoint.ts';

const CHUNK_BYTES = 4 * 2 ** 20;

// A number is NaN or infinite exactly when all of its exponent's bits are set.
const EXPONENT_BITS: Readonly<Record<WeightDType, number>> = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 };

/** Reads every weight once, in pieces of 4 MiB.
 * @throws EspalierError "not_finite" naming the first tensor and element that is NaN or infinite. */
export async function assertFiniteWeights(checkpoint: Checkpoint): Promise<void> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (const [name, { storedName, dtype, entry }] of checkpoint.weights) {
    const elementBytes = dtype === 'F32' ? 4 : 2;
    for (let offset = 0; offset < entry.bytes; offset += CHUNK_BYTES) {
      const bytes = chunk.subarray(0, Math.min(CHUNK_BYTES, entry.bytes - offset));
      await entry.readInto(bytes, offset);
      const at = firstNotFinite(bytes, dtype);
      if (at < 0) continue;
      const index = offset / elementBytes + at;
      const value = (await checkpoint.tensor(name))[index];
      const where = `${checkpoint.source}: ${storedName}`;
      throw new EspalierError('not_finite', `${where}: got ${value} at index ${index}, expected finite numbers`);
    }
  }
}

/** Index of the first element that is NaN or infinite, or -1. */
function firstNotFinite(bytes: Uint8Array, dtype: WeightDType): number {
  const bits =
    dtype === 'F32'
      ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
      : (viewAs(dtype, bytes) as Uint16Array);
  const exponent = EXPONENT_BITS[dtype];
  for (let i = 0; i < bits.length; i++) if ((bits[i] & exponent) === exponent) return i;
  return -1;
}
