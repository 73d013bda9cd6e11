// Gram matrices of Fisher rows, formed where the rows are.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { packedLength } from '../../pruning/fisher.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { PackedUpload, unpack } from '../engine/packed-upload.ts';
import type { TaskContext } from './task-context.ts';

/** F = GᵀG of each layer's heads and neurons, in float64.
 * @param rows float32 [groups, layers · (heads + neurons)], the heads of all layers first.
 * @returns "head_gram" and "neuron_gram", F64 [layers, n(n+1)/2]: upper triangles by rows. */
export function deviceGrams(
  context: TaskContext,
  { layers, heads, intermediateSize }: Pick<ModelConfig, 'layers' | 'heads' | 'intermediateSize'>,
  rows: DeviceTensor,
): NamedTensor[] {
  const gramsOf = (name: string, firstColumn: number, size: number): NamedTensor => ({
    name,
    dtype: 'F64',
    shape: [layers, packedLength(size)],
    data: packedGrams(context, rows, { layers, firstColumn, size }),
  });
  return [gramsOf('head_gram', 0, heads), gramsOf('neuron_gram', layers * heads, intermediateSize)];
}

// One layer after the other: a whole matrix is twice as large as its triangle, and what is on the device at once is one.
function packedGrams(
  { engine, ops, checkCancelled }: TaskContext,
  rows: DeviceTensor,
  { layers, firstColumn, size }: { readonly layers: number; readonly firstColumn: number; readonly size: number },
): Float64Array {
  const length = packedLength(size);
  const grams = new Float64Array(layers * length);
  engine.scope(() => {
    const upload = new PackedUpload();
    const places = upload.add(trianglePlaces(size), [length]);
    const triangle = unpack(ops, upload.send(ops), places);
    for (let layer = 0; layer < layers; layer++) {
      checkCancelled();
      const packed = engine.scope(() => {
        const own = ops.toFloat64(ops.slice(rows, [0, firstColumn + layer * size], [-1, size]));
        const gram = ops.reshape(ops.matMul(own, own, true, false), [size * size]);
        return engine.downloadFloat64(ops.gather(gram, triangle));
      });
      grams.set(packed, layer * length);
    }
  });
  return grams;
}

// Where the upper triangle's elements lie in an n × n matrix, by rows.
function trianglePlaces(size: number): Int32Array {
  const places = new Int32Array(packedLength(size));
  let at = 0;
  for (let i = 0; i < size; i++) for (let j = i; j < size; j++) places[at++] = i * size + j;
  return places;
}
