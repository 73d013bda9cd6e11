// Fisher information in a safetensors file: "rows" F32 [rows, layers * (heads + neurons)], or "head_gram.<layer>" and
// "neuron_gram.<layer>", F64 packed upper triangles. For BERT-base it takes up to half a gigabyte, so that it is written
// and read in parts and never held as a whole.
import { closeSync, openSync, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import {
  type FisherLayers,
  type Importance,
  ImportanceSums,
  type LayerFisher,
  layersOfFisher,
  type MaskSizes,
  packedLength,
  putRows,
  ROWS_AT_ONCE,
} from '../../pruning/fisher.ts';
import type { Masks, SubLayer } from '../../pruning/masks.ts';
import { type LayerMasks, rearrangeLayer, rearrangeLayers } from '../../pruning/rearrange.ts';
import type { OpenVariables } from '../../pruning/search-remaining.ts';
import { EspalierError } from '../../shared/errors.ts';
import { openSafetensors, type SafetensorsEntry } from '../../shared/safetensors.ts';
import type { TensorDescription } from '../../shared/safetensors-header.ts';

const ROWS = 'rows';
const FLOAT32 = Float32Array.BYTES_PER_ELEMENT;
/** What is read at a time of what is read once, from front to back. */
const READ_BYTES = 4 * 2 ** 20;
/** Rows of all layers that are read at once rather than a layer's at a time, which takes a read for each row and layer. */
const WHOLE_ROWS_BYTES = 16 * 2 ** 20;

export function gramName(kind: SubLayer, layer: number): string {
  return `${kind === 'attention' ? 'head' : 'neuron'}_gram.${layer}`;
}

export function rowsTensors(sizes: MaskSizes, rows: number): TensorDescription[] {
  return [{ name: ROWS, dtype: 'F32', shape: [rows, variablesOf(sizes)] }];
}

export function gramTensors(sizes: MaskSizes): TensorDescription[] {
  const list = (kind: SubLayer) =>
    Array.from({ length: sizes.layers }, (_, layer): TensorDescription => {
      return { name: gramName(kind, layer), dtype: 'F64', shape: [packedLength(sizeOf(sizes, kind))] };
    });
  return [...list('attention'), ...list('ffn')];
}

/** Diagonal Fisher information. @throws EspalierError "shape_mismatch", "not_finite". */
export async function fisherImportance(path: string, sizes: MaskSizes): Promise<Importance> {
  const file = await openSafetensors(path);
  try {
    const sums = new ImportanceSums(sizes);
    const rows = file.entries.get(ROWS);
    if (rows === undefined) {
      for (let layer = 0; layer < sizes.layers; layer++)
        for (const kind of ['attention', 'ffn'] as const) {
          const entry = gramEntry(file.entries, path, sizes, layer, kind);
          const gram = new Float64Array(entry.bytes / Float64Array.BYTES_PER_ELEMENT);
          await entry.readInto(new Uint8Array(gram.buffer), 0);
          sums.setDiagonal(layer, kind, gram);
        }
    } else {
      checkRows(rows, path, sizes);
      const rowBytes = variablesOf(sizes) * FLOAT32;
      const step = Math.max(1, Math.floor(READ_BYTES / rowBytes)) * rowBytes;
      for (let begin = 0; begin < rows.bytes; begin += step) {
        const part = new Float32Array(Math.min(step, rows.bytes - begin) / FLOAT32);
        await rows.readInto(new Uint8Array(part.buffer), begin);
        sums.addRows(part);
      }
    }
    return sums.importance();
  } finally {
    await file.close();
  }
}

/** `rearrangeMasks`, a sub-layer in memory at a time where all of them are large. Blocks while it reads and computes. */
export function rearrangeFromFile(path: string, masks: Masks, open?: OpenVariables): Promise<Masks> {
  return withLayers(path, masks, WHOLE_ROWS_BYTES, (fisher) => rearrangeLayers(fisher, masks, open));
}

/** Bytes that rearranging one layer takes: as it is read, and once more where what is open has to be picked from it; of rows
 * once more where columns are multiplied, with at most as much of bounds. */
export async function rearrangeBytes(path: string, { layers }: MaskSizes, open?: OpenVariables): Promise<number> {
  const { entries, close } = await openSafetensors(path);
  await close();
  const [whole, picked] = entries.has(ROWS) ? [3, 4] : [1, 2];
  return ((open === undefined ? whole : picked) * (await stat(path)).size) / layers;
}

/** One layer of a model as another thread needs it. */
export interface LayerOfFile {
  /** The file. */
  readonly fisher: string;
  readonly sizes: MaskSizes;
  readonly layer: number;
  readonly masks: LayerMasks;
  readonly open?: LayerMasks;
}

/** `rearrangeLayer`. Blocks while it reads and computes. */
export function rearrangeLayerFromFile({ fisher: path, sizes, layer, masks, open }: LayerOfFile): Promise<LayerMasks> {
  return withLayers(path, sizes, 0, (fisher) => rearrangeLayer(fisher, layer, masks, open));
}

async function withLayers<Result>(
  path: string,
  sizes: MaskSizes,
  mostWhole: number,
  use: (fisher: FisherLayers) => Result,
): Promise<Result> {
  const { entries, close } = await openSafetensors(path);
  await close();
  // Thousands of short reads a layer, which cost little unless each waits for a turn of the loop.
  const file = openSync(path, 'r');
  try {
    const rows = entries.get(ROWS);
    if (rows === undefined)
      return use({ of: (layer, kind) => readGram(file, gramEntry(entries, path, sizes, layer, kind)) });
    checkRows(rows, path, sizes);
    if (rows.bytes > mostWhole) return use({ of: (layer, kind) => readGradients(file, rows, sizes, layer, kind) });
    const values = new Float32Array(rows.bytes / FLOAT32);
    readAt(file, new Uint8Array(values.buffer), rows.begin);
    return use(layersOfFisher({ form: 'rows', rows: rows.shape[0], values }, sizes));
  } finally {
    closeSync(file);
  }
}

function readGram(file: number, entry: SafetensorsEntry): LayerFisher {
  const gram = new Float64Array(entry.bytes / Float64Array.BYTES_PER_ELEMENT);
  readAt(file, new Uint8Array(gram.buffer), entry.begin);
  return { form: 'gram', gram };
}

function readGradients(
  file: number,
  { shape, begin }: SafetensorsEntry,
  sizes: MaskSizes,
  layer: number,
  kind: SubLayer,
): LayerFisher {
  const [rows] = shape;
  const size = sizeOf(sizes, kind);
  const first = kind === 'attention' ? layer * size : sizes.layers * sizes.heads + layer * size;
  const gradients = new Float32Array(size * rows); // [variables, rows]
  const values = new Float32Array(ROWS_AT_ONCE * size);
  for (let row = 0; row < rows; row += ROWS_AT_ONCE) {
    const count = Math.min(ROWS_AT_ONCE, rows - row);
    for (let at = 0; at < count; at++) {
      const from = ((row + at) * variablesOf(sizes) + first) * FLOAT32;
      readAt(file, new Uint8Array(values.buffer, at * size * FLOAT32, size * FLOAT32), begin + from);
    }
    putRows(gradients, rows, row, { values, count, first: 0, stride: size });
  }
  return { form: 'rows', rows, gradients };
}

function readAt(file: number, target: Uint8Array, position: number): void {
  for (let done = 0; done < target.byteLength; ) {
    const got = readSync(file, target, done, target.byteLength - done, position + done);
    if (got === 0) throw new EspalierError('internal', 'fisher information: the file was cut short');
    done += got;
  }
}

function gramEntry(
  entries: ReadonlyMap<string, SafetensorsEntry>,
  path: string,
  sizes: MaskSizes,
  layer: number,
  kind: SubLayer,
): SafetensorsEntry {
  const name = gramName(kind, layer);
  const entry = entries.get(name);
  const length = packedLength(sizeOf(sizes, kind));
  if (entry?.dtype === 'F64' && entry.bytes === length * Float64Array.BYTES_PER_ELEMENT) return entry;
  const got = entry === undefined ? 'nothing' : `${entry.dtype} [${entry.shape}]`;
  throw new EspalierError('shape_mismatch', `${path}: ${name}: got ${got}, expected F64 [${length}]`);
}

function checkRows({ dtype, shape }: SafetensorsEntry, path: string, sizes: MaskSizes): void {
  if (dtype === 'F32' && shape.length === 2 && shape[1] === variablesOf(sizes)) return;
  const expected = `F32 [rows,${variablesOf(sizes)}]`;
  throw new EspalierError('shape_mismatch', `${path}: ${ROWS}: got ${dtype} [${shape}], expected ${expected}`);
}

function variablesOf({ layers, heads, neurons }: MaskSizes): number {
  return layers * (heads + neurons);
}

function sizeOf({ heads, neurons }: MaskSizes, kind: SubLayer): number {
  return kind === 'attention' ? heads : neurons;
}
