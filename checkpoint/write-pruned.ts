// Writes a pruned model as a folder: smaller dense matrices under Hugging Face names, the config that says how many
// heads and neurons each layer kept, the tokenizer, the masks, and a loader for PyTorch.
import { constants, copyFile, mkdir, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { keptIndices, type Masks, type SubLayer } from '../pruning/masks.ts';
import type { Patch, PatchPart } from '../pruning/patch.ts';
import { EspalierError } from '../shared/errors.ts';
import { projectRoot } from '../shared/project-root.ts';
import { type SafetensorsSource, type WriteOptions, writeSafetensors } from '../shared/safetensors.ts';
import { buildHeader } from '../shared/safetensors-header.ts';
import { elementCount } from '../shared/tensor.ts';
import { digestModel } from './digest-checkpoint.ts';
import { float32ToBfloat16, float32ToFloat16 } from './half-precision.ts';
import type { ModelConfig } from './model-config.ts';
import type { Checkpoint, CheckpointWeight, WeightDType } from './open-checkpoint.ts';
import { checkPatches, patchedWeight, patchOf } from './patch-weight.ts';
import { isPrunedWeight, pruneWeight } from './prune-weight.ts';
import { intermediateSizeField } from './read-config.ts';
import { weightSpecs } from './weight-names.ts';

const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
  'special_tokens_map.json',
  'added_tokens.json',
  'merges.txt',
  'vocab.json',
  'sentencepiece.bpe.model',
];
/** The weights of a model that is written. */
export const WEIGHTS_FILE = 'model.safetensors';
const COPY_BYTES = 4 * 2 ** 20;
const METADATA = { format: 'pt' };
const LOADER_FILE = 'espalier_model.py';
const DTYPE_NAMES: Readonly<Record<WeightDType, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

/** How config.json tells what layers kept: under the key "espalier", or, of a model whose layers are all alike, as
 * transformers' own classes read it, with another number of neurons and nothing else. */
export type PrunedLayout = 'espalier' | 'stock';

/** Writes the dense model `source`, pruned by `masks`, into `directory`, which is made where it is missing; files of
 * the same names are replaced. Not atomic: whoever needs that writes into a folder aside and renames it.
 * @param patches refitted projections in place of the model's own, at most one of a sub-layer's inputs and one of its output.
 * @param options of model.safetensors; a scratch folder's config.json and masks are not synced either.
 * @returns the digest that digestCheckpoint gives for the folder, SHA-256 and size of model.safetensors, and its elements.
 * @throws EspalierError "model_unsupported" for a source that is pruned already, "output_exists" for its own folder, "shape_mismatch" for masks or patches of another
 * model, "protocol" for masks that keep what a patch lacks, "internal" for the layout "stock" of a model that no stock config can say, "not_finite" where scales or folded weights are not finite in `dtype`; errors of the file system as they are. */
export async function writePrunedCheckpoint(
  source: Checkpoint,
  masks: Masks,
  dtype: WeightDType,
  directory: string,
  layout: PrunedLayout = 'espalier',
  patches: readonly Patch[] = [],
  options: WriteOptions = {},
): Promise<{ digest: string; sha256: string; bytes: number; parameters: number }> {
  const { config } = source;
  if (config.raw.espalier !== undefined)
    throw new EspalierError('model_unsupported', `${source.source}: already pruned`, { action: 'prune a dense model' });
  if (source.directory !== null && resolve(source.directory) === resolve(directory))
    throw new EspalierError('output_exists', `${directory}: got the folder of the dense model, expected another`);
  checkMasks(config, masks);
  checkPatches(config, masks, patches);
  const pruned = prunedConfig(config, masks);
  const configText = `${JSON.stringify(prunedRaw(pruned, dtype, layout), null, 2)}\n`;
  const memory = { dense: new Reused(), pruned: new Reused() };
  const sources = weightSpecs(pruned).map(
    ({ name, storedName, shape }): SafetensorsSource => ({
      name: storedName,
      dtype,
      shape,
      read: () => {
        const patch = patchOf(name, patches);
        const weight = source.weights.get(name)!;
        if (patch !== null) return round(storedName, patchedWeight(name, patch, masks), dtype);
        if (dtype !== 'F32' || weight.dtype !== dtype)
          return source.tensor(name).then((dense) => round(storedName, pruneWeight(name, dense, config, masks), dtype));
        return isPrunedWeight(name)
          ? cut(weight, memory, (dense, take) => pruneWeight(name, dense, config, masks, take))
          : copied(weight);
      },
    }),
  );

  await mkdir(directory, { recursive: true });
  const file = join(directory, WEIGHTS_FILE);
  const { sha256, bytes } = await writeSafetensors(file, sources, METADATA, options);
  await writeText(join(directory, 'config.json'), configText, options);
  await writeText(join(directory, 'masks.json'), masksText(masks, patches), options);
  if (source.directory !== null) await copyTokenizer(source.directory, directory);
  await copyFile(join(projectRoot(), 'checkpoint', 'python', LOADER_FILE), join(directory, LOADER_FILE));
  const parameters = sources.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { digest: digestModel(configText, [sha256]), sha256, bytes, parameters };
}

/** Size of the model.safetensors that `writePrunedCheckpoint` writes. */
export function prunedWeightBytes(config: ModelConfig, masks: Masks, dtype: WeightDType): number {
  const tensors = weightSpecs(prunedConfig(config, masks)).map(({ storedName, shape }) => {
    return { name: storedName, dtype, shape };
  });
  return buildHeader(tensors, METADATA).fileBytes;
}

function checkMasks(config: ModelConfig, masks: Masks): void {
  const { layers, heads, neurons } = masks;
  const got = [layers, heads, neurons].join();
  const expected = [config.layers, config.heads, config.intermediateSize].join();
  if (got !== expected)
    throw new EspalierError('shape_mismatch', `masks: got [layers,heads,neurons] [${got}], expected [${expected}]`);
  const lengths: [string, { length: number }, number][] = [
    ['headMask', masks.headMask, layers * heads],
    ['headScales', masks.headScales, layers * heads],
    ['neuronMask', masks.neuronMask, layers * neurons],
    ['neuronScales', masks.neuronScales, layers * neurons],
  ];
  for (const [name, { length }, count] of lengths)
    if (length !== count) throw new EspalierError('shape_mismatch', `masks: ${name}: got ${length}, expected ${count}`);
  for (const name of ['headScales', 'neuronScales'] as const) {
    const at = masks[name].findIndex((scale) => !Number.isFinite(scale));
    if (at >= 0)
      throw new EspalierError('not_finite', `masks: ${name}: got ${masks[name][at]} at index ${at}, expected a number`);
  }
}

function prunedConfig(config: ModelConfig, masks: Masks): ModelConfig {
  const layers = Array.from({ length: config.layers }, (_, layer) => layer);
  return {
    ...config,
    headsByLayer: layers.map((layer) => keptIndices(masks.headMask, layer, masks.heads).length),
    neuronsByLayer: layers.map((layer) => keptIndices(masks.neuronMask, layer, masks.neurons).length),
  };
}

/** The config.json of the pruned model; older transformers spell "dtype" as "torch_dtype". */
function prunedRaw(config: ModelConfig, dtype: WeightDType, layout: PrunedLayout): Record<string, unknown> {
  const raw: Record<string, unknown> = { ...config.raw };
  const key = raw.torch_dtype !== undefined && raw.dtype === undefined ? 'torch_dtype' : 'dtype';
  raw[key] = DTYPE_NAMES[dtype];
  if (layout === 'stock') {
    raw[intermediateSizeField(config.modelType)] = uniformNeurons(config);
    return raw;
  }
  raw.espalier = {
    schema: 1,
    head_size: config.headSize,
    heads: config.headsByLayer,
    neurons: config.neuronsByLayer,
  };
  return raw;
}

/** Neurons of every layer. @throws EspalierError "internal" unless all layers have all heads and equally many neurons. */
function uniformNeurons({ heads, headsByLayer, neuronsByLayer }: ModelConfig): number {
  const [neurons] = neuronsByLayer;
  if (neurons > 0 && headsByLayer.every((kept) => kept === heads) && neuronsByLayer.every((kept) => kept === neurons))
    return neurons;
  throw new EspalierError(
    'internal',
    `stock layout: got heads [${headsByLayer.join()}] and neurons [${neuronsByLayer.join()}], ` +
      `expected ${heads} heads and one number of neurons everywhere`,
  );
}

/** Memory that is used again: what is written is as large as a model, and a collector that has to free it takes longer than all of the
 * writing. */
class Reused {
  #values = new Float32Array();

  take(length: number): Float32Array {
    if (this.#values.length < length) this.#values = new Float32Array(length);
    return this.#values.subarray(0, length);
  }
}

/** A weight of float32, pruned. */
async function* cut(
  { storedName, entry }: CheckpointWeight,
  memory: { readonly dense: Reused; readonly pruned: Reused },
  prune: (dense: Float32Array, take: (length: number) => Float32Array) => Float32Array,
): AsyncGenerator<Uint8Array, void, undefined> {
  const dense = memory.dense.take(entry.bytes / Float32Array.BYTES_PER_ELEMENT);
  await entry.readInto(new Uint8Array(dense.buffer, 0, entry.bytes), 0);
  const values = prune(dense, (length) => memory.pruned.take(length));
  requireFinite(storedName, values);
  yield new Uint8Array(values.buffer, 0, values.byteLength);
}

/** A weight of float32 as it is. */
async function* copied({ storedName, entry }: CheckpointWeight): AsyncGenerator<Uint8Array, void, undefined> {
  const values = new Float32Array(Math.min(COPY_BYTES, entry.bytes) / Float32Array.BYTES_PER_ELEMENT);
  for (let at = 0; at < entry.bytes; at += COPY_BYTES) {
    const own = values.subarray(0, (entry.bytes - at) / Float32Array.BYTES_PER_ELEMENT);
    const bytes = new Uint8Array(own.buffer, 0, own.byteLength);
    await entry.readInto(bytes, at);
    requireFinite(storedName, own, at / Float32Array.BYTES_PER_ELEMENT);
    yield bytes;
  }
}

/** @param first index of the first value. */
function requireFinite(storedName: string, values: Float32Array, first = 0): void {
  const notFinite = firstNotFinite(values);
  if (notFinite >= 0)
    throw new EspalierError(
      'not_finite',
      `${storedName}: got ${values[notFinite]} at index ${first + notFinite} with its scale folded in, expected finite numbers`,
    );
}

/** Rounds to `dtype` and gives the raw bytes. */
function round(storedName: string, values: Float32Array, dtype: WeightDType): Uint8Array {
  requireFinite(storedName, values);
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const { bits, overflowAt } = dtype === 'F16' ? float32ToFloat16(values) : float32ToBfloat16(values);
  if (overflowAt >= 0)
    throw new EspalierError(
      'not_finite',
      `${storedName}: got ${values[overflowAt]} at index ${overflowAt}, which ${DTYPE_NAMES[dtype]} cannot hold`,
      { action: 'write the model as float32' },
    );
  return new Uint8Array(bits.buffer);
}

/** Index of the first NaN or infinity, or -1; plain loops, because findIndex takes seconds for a large model. */
function firstNotFinite(values: Float32Array): number {
  // Zero times anything but these is zero. Four sums, since one waits for itself.
  let [a, b, c, d] = [0, 0, 0, 0];
  const end = values.length & ~3;
  for (let i = 0; i < end; i += 4) {
    a += values[i] * 0;
    b += values[i + 1] * 0;
    c += values[i + 2] * 0;
    d += values[i + 3] * 0;
  }
  for (let i = end; i < values.length; i++) a += values[i] * 0;
  if (a + b + c + d === 0) return -1;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

function masksText(masks: Masks, patches: readonly Patch[]): string {
  const refitted = (part: PatchPart) => {
    const own = patches.filter((patch) => patch.part === part);
    const layersOf = (subLayer: SubLayer) =>
      own.filter((patch) => patch.subLayer === subLayer).map(({ layer }) => layer);
    return own.length === 0 ? null : { attention: layersOf('attention'), ffn: layersOf('ffn') };
  };
  const [outputs, inputs] = [refitted('output'), refitted('input')];
  const rows = (values: Uint8Array | Float32Array, width: number) =>
    Array.from({ length: masks.layers }, (_, layer) => [...values.subarray(layer * width, (layer + 1) * width)]);
  const json = {
    schema: 1,
    heads: rows(masks.headMask, masks.heads),
    neurons: rows(masks.neuronMask, masks.neurons),
    head_scales: rows(masks.headScales, masks.heads),
    neuron_scales: rows(masks.neuronScales, masks.neurons),
    // Layers whose output or input projections are those of patches.
    ...(outputs !== null && { refitted: outputs }),
    ...(inputs !== null && { refitted_inputs: inputs }),
  };
  return `${JSON.stringify(json)}\n`;
}

async function writeText(path: string, text: string, { isScratch = false }: WriteOptions): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.writeFile(text);
    if (!isScratch) await handle.sync();
  } finally {
    await handle.close();
  }
}

async function copyTokenizer(from: string, to: string): Promise<void> {
  for (const name of TOKENIZER_FILES) {
    try {
      await copyFile(join(from, name), join(to, name), constants.COPYFILE_FICLONE);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}
