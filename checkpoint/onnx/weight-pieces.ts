// The elements of one weight as an ONNX file holds them, in pieces: a table of a large vocabulary is never whole in
// memory, a matrix that is transposed once.
import { EspalierError } from '../../shared/errors.ts';
import { float32ToFloat16 } from '../half-precision.ts';
import { type Checkpoint, toFloat32 } from '../open-checkpoint.ts';
import type { WeightValues } from './graph-builder.ts';

const PIECE_BYTES = 4 * 2 ** 20;

/** Little-endian elements of a weight, in order.
 * @throws EspalierError "not_finite" for a number that `dtype` cannot hold. */
export async function* weightPieces(
  checkpoint: Checkpoint,
  { weight, transposed }: WeightValues,
  dtype: 'F32' | 'F16',
): AsyncGenerator<Uint8Array> {
  if (transposed) {
    const [rows, columns] = checkpoint.shape(weight);
    yield rounded(weight, transpose(await checkpoint.tensor(weight), rows, columns), dtype);
    return;
  }
  const { entry, dtype: stored } = checkpoint.weights.get(weight)!;
  for (let offset = 0; offset < entry.bytes; offset += PIECE_BYTES) {
    const bytes = new Uint8Array(Math.min(PIECE_BYTES, entry.bytes - offset));
    await entry.readInto(bytes, offset);
    yield rounded(weight, toFloat32(stored, bytes), dtype);
  }
}

// In squares, so that both sides stay in the processor's cache.
const SQUARE = 32;

/** [rows, columns] to [columns, rows]. */
function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let top = 0; top < rows; top += SQUARE)
    for (let left = 0; left < columns; left += SQUARE) {
      const [bottom, right] = [Math.min(top + SQUARE, rows), Math.min(left + SQUARE, columns)];
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++) result[column * rows + row] = values[row * columns + column];
    }
  return result;
}

function rounded(weight: string, values: Float32Array, dtype: 'F32' | 'F16'): Uint8Array {
  // A loop, because findIndex takes seconds for a large model.
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new EspalierError('not_finite', `${weight}: got ${values[i]}, expected finite numbers`);
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const { bits, overflowAt } = float32ToFloat16(values);
  if (overflowAt >= 0)
    throw new EspalierError('not_finite', `${weight}: got ${values[overflowAt]}, which float16 cannot hold`, {
      action: 'export the model as float32',
    });
  return new Uint8Array(bits.buffer);
}
