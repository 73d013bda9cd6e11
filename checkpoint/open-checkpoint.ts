// Opens a model. An open checkpoint has exactly the weights that its config describes, in the shapes that it
// describes; their values are read when they are asked for.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EspalierError } from '../shared/errors.ts';
import type { SafetensorsEntry } from '../shared/safetensors.ts';
import { elementCount, viewAs } from '../shared/tensor.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from './half-precision.ts';
import type { ModelConfig } from './model-config.ts';
import { readModelConfig } from './read-config.ts';
import {
  findWeightFiles,
  type OpenWeights,
  openWeights,
  readModelText,
  type WeightFileLocation,
} from './weight-files.ts';
import { isUnusedWeight, type WeightSpec, weightSpecs } from './weight-names.ts';

/** Element types that weights may have. */
export type WeightDType = 'F32' | 'F16' | 'BF16';

/** A weight of an open checkpoint: what it is called, and where its raw elements are. */
export interface CheckpointWeight extends WeightSpec {
  readonly dtype: WeightDType;
  readonly entry: SafetensorsEntry;
}

/** An open model; whoever opened it closes it. */
export interface Checkpoint {
  /** What messages call the model: its folder, or a digest on a worker. */
  readonly source: string;
  /** The folder that it was read from; null where its files came one by one. */
  readonly directory: string | null;
  readonly config: ModelConfig;
  /** config.json as it lies in the file. */
  readonly configText: string;
  /** The type of most elements of the matrices. */
  readonly dtype: WeightDType;
  readonly weightFiles: readonly { path: string; name: string; bytes: number }[];
  /** Elements of all weights. */
  readonly parameters: number;
  /** By canonical name, in the order of weightSpecs. */
  readonly weights: ReadonlyMap<string, CheckpointWeight>;
  /** A weight as float32, in memory of the caller's own. @throws EspalierError "internal" for an unknown name. */
  tensor(name: string): Promise<Float32Array>;
  /** The same, blocking; in `target`, of exactly as many elements, where one is given. */
  tensorSync(name: string, target?: Float32Array): Float32Array;
  /** @throws EspalierError "internal" for an unknown name. */
  shape(name: string): readonly number[];
  close(): Promise<void>;
}

/** Opens a Hugging Face folder: config.json with model.safetensors or its shards.
 * @throws EspalierError "model_not_found", "model_format", "model_unsupported", "weights_mismatch", "shape_mismatch". */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const found = await stat(directory).catch(() => null);
  if (!found?.isDirectory())
    throw new EspalierError('model_not_found', `${directory}: got ${found ? 'a file' : 'nothing'}, expected a folder`);
  const configPath = join(directory, 'config.json');
  const configText = await readModelText(configPath).catch(async (caught: EspalierError) => {
    const inner = await modelInside(directory);
    const action = `the models are in its folders: give ${inner}`;
    throw inner === null ? caught : new EspalierError(caught.code, caught.message, { action, cause: caught });
  });
  const config = readModelConfig(configText, configPath);
  const [architecture] = config.raw.architectures as string[];
  const { files, fileByTensor } = await findWeightFiles(directory, architecture);
  return bind(directory, directory, config, configText, await openWeights(files, fileByTensor));
}

/** Opens a model whose files lie anywhere under any names, as in a worker's cache.
 * @param source what messages call the model.
 * @throws the errors of openCheckpoint. */
export async function openCheckpointFiles(
  configText: string,
  files: readonly WeightFileLocation[],
  source: string,
): Promise<Checkpoint> {
  const config = readModelConfig(configText, `${source}: config.json`);
  return bind(source, null, config, configText, await openWeights(files, null));
}

/** The first model that lies in a folder which is none itself, as the output of `prune` is not; null without one. */
async function modelInside(directory: string): Promise<string | null> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((name) => !name.startsWith('.')).sort()) {
    const folder = join(directory, name);
    const config = await stat(join(folder, 'config.json')).catch(() => null);
    if (config?.isFile()) return folder;
  }
  return null;
}

async function bind(
  source: string,
  directory: string | null,
  config: ModelConfig,
  configText: string,
  open: OpenWeights,
): Promise<Checkpoint> {
  try {
    const weights = matchWeights(source, config, open.entries);
    const weight = (name: string) => {
      const found = weights.get(name);
      if (found === undefined) throw new EspalierError('internal', `${source}: ${name}: got no weight of this name`);
      return found;
    };
    return {
      source,
      directory,
      config,
      configText,
      dtype: majorityDType(weights),
      weightFiles: open.files,
      parameters: [...weights.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0),
      weights,
      tensor: async (name) => toFloat32(weight(name).dtype, await weight(name).entry.read()),
      tensorSync(name, target) {
        const { dtype, entry } = weight(name);
        if (target === undefined || dtype !== 'F32') return toFloat32(dtype, entry.readSync(), target);
        entry.readIntoSync(new Uint8Array(target.buffer, target.byteOffset, target.byteLength));
        return target;
      },
      shape: (name) => weight(name).shape,
      close: () => open.close(),
    };
  } catch (error) {
    await open.close();
    throw error;
  }
}

/** Pairs each weight of the config with its tensor. One error names all that is missing, unknown or misshapen. */
function matchWeights(
  source: string,
  config: ModelConfig,
  entries: ReadonlyMap<string, SafetensorsEntry>,
): Map<string, CheckpointWeight> {
  const weights = new Map<string, CheckpointWeight>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  const unreadable: string[] = [];
  const specs = weightSpecs(config);
  for (const spec of specs) {
    const { storedName, shape } = spec;
    const entry = entries.get(storedName);
    if (entry === undefined) missing.push(storedName);
    else if (!isWeightDType(entry.dtype))
      unreadable.push(`${storedName}: got ${entry.dtype}, expected F32, F16 or BF16`);
    else if (entry.shape.join() !== shape.join())
      misshapen.push(`${storedName}: got [${entry.shape.join()}], expected [${shape.join()}]`);
    else weights.set(spec.name, { ...spec, dtype: entry.dtype, entry });
  }
  const known = new Set(specs.map(({ storedName }) => storedName));
  const extra = [...entries.keys()].filter((name) => !known.has(name) && !isUnusedWeight(config, name));

  const problems = [
    ...(missing.length > 0 ? [`got no ${fewOf(missing)}`] : []),
    ...(extra.length > 0 ? [`got unexpected ${fewOf(extra)}`] : []),
    ...(misshapen.length > 0 ? [fewOf(misshapen)] : []),
    ...(unreadable.length > 0 ? [fewOf(unreadable)] : []),
  ];
  if (problems.length === 0) return weights;
  const code =
    missing.length + extra.length > 0
      ? 'weights_mismatch'
      : misshapen.length > 0
        ? 'shape_mismatch'
        : 'model_unsupported';
  throw new EspalierError(code, `${source}: ${problems.join('; ')}`);
}

const NAMED_AT_MOST = 5;

function fewOf(items: readonly string[]): string {
  const rest = items.length - NAMED_AT_MOST;
  return items.slice(0, NAMED_AT_MOST).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

function majorityDType(weights: ReadonlyMap<string, CheckpointWeight>): WeightDType {
  const elements: Record<WeightDType, number> = { F32: 0, F16: 0, BF16: 0 };
  for (const { dtype, shape } of weights.values()) if (shape.length === 2) elements[dtype] += elementCount(shape);
  return (Object.keys(elements) as WeightDType[]).reduce((most, dtype) =>
    elements[dtype] > elements[most] ? dtype : most,
  );
}

function isWeightDType(dtype: string): dtype is WeightDType {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

/** Raw elements as float32; a view of `bytes` where they are. @param target where converted ones go; left out: new memory. */
export function toFloat32(dtype: WeightDType, bytes: Uint8Array, target?: Float32Array): Float32Array {
  const data = viewAs(dtype, bytes);
  if (data instanceof Float32Array) return data;
  return dtype === 'F16'
    ? float16ToFloat32(data as Uint16Array, target)
    : bfloat16ToFloat32(data as Uint16Array, target);
}
