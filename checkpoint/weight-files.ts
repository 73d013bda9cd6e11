// Finds and opens the safetensors files of a model: one file, or shards with an index.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EspalierError } from '../shared/errors.ts';
import { openSafetensors, type SafetensorsEntry, type SafetensorsFile } from '../shared/safetensors.ts';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';
// Formats that transformers reads and Espalier does not; PyTorch's are pickles, which run code when they are read.
const FOREIGN_FILES = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'tf_model.h5', 'flax_model.msgpack'];

/** A file of weights and what messages call it. */
export interface WeightFileLocation {
  readonly path: string;
  readonly label: string;
}

/** Open files and the tensors in them by stored name; whoever opened them closes them. */
export interface OpenWeights {
  readonly files: readonly { path: string; name: string; bytes: number }[];
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  close(): Promise<void>;
}

/** Finds the weights of a folder: model.safetensors, or else the shards of model.safetensors.index.json.
 * @returns the files in order of their names, and the index's file by tensor where there is an index.
 * @throws EspalierError "model_not_found", "model_format" for a bad index, "model_unsupported" for other formats. */
export async function findWeightFiles(
  directory: string,
  architecture: string,
): Promise<{ files: WeightFileLocation[]; fileByTensor: ReadonlyMap<string, string> | null }> {
  const locate = (name: string) => ({ path: join(directory, name), label: name });
  if (await exists(join(directory, SINGLE_FILE))) return { files: [locate(SINGLE_FILE)], fileByTensor: null };
  if (await exists(join(directory, INDEX_FILE))) {
    const fileByTensor = await readIndex(join(directory, INDEX_FILE));
    return { files: [...new Set(fileByTensor.values())].sort().map(locate), fileByTensor };
  }
  for (const name of FOREIGN_FILES)
    if (await exists(join(directory, name)))
      throw new EspalierError('model_unsupported', `${directory}: got ${name}, expected ${SINGLE_FILE}`, {
        action: conversion(directory, architecture),
      });
  throw new EspalierError('model_not_found', `${directory}: got no weights, expected ${SINGLE_FILE} or ${INDEX_FILE}`);
}

/** Opens the files and gathers their tensors.
 * @throws EspalierError "model_not_found" for a missing file, "model_format", "weights_mismatch" when two files hold
 * the same tensor or an index disagrees with its files. */
export async function openWeights(
  locations: readonly WeightFileLocation[],
  fileByTensor: ReadonlyMap<string, string> | null,
): Promise<OpenWeights> {
  const opened: SafetensorsFile[] = [];
  const close = async () => {
    for (const file of opened.splice(0)) await file.close();
  };
  try {
    const files: { path: string; name: string; bytes: number }[] = [];
    const entries = new Map<string, SafetensorsEntry>();
    for (const { path, label } of locations) {
      const file = await openPresent(path, label);
      opened.push(file);
      files.push({ path, name: label, bytes: file.fileBytes });
      for (const [name, entry] of file.entries) {
        if (entries.has(name))
          throw new EspalierError('weights_mismatch', `${label}: ${name}: got a tensor that another file holds too`);
        const expected = fileByTensor?.get(name) ?? 'none';
        if (fileByTensor !== null && expected !== label)
          throw new EspalierError('weights_mismatch', `${INDEX_FILE}: ${name}: got ${expected}, expected ${label}`);
        entries.set(name, entry);
      }
    }
    for (const [name, file] of fileByTensor ?? [])
      if (!entries.has(name))
        throw new EspalierError('weights_mismatch', `${INDEX_FILE}: ${name}: got ${file}, which does not hold it`);
    return { files, entries, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Reads a text file of a model. @throws EspalierError "model_not_found" when it is not there or cannot be read. */
export async function readModelText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw notReadable(path, cause);
  }
}

async function openPresent(path: string, label: string): Promise<SafetensorsFile> {
  try {
    return await openSafetensors(path, label);
  } catch (cause) {
    throw cause instanceof EspalierError ? cause : notReadable(path, cause);
  }
}

function notReadable(path: string, cause: unknown): EspalierError {
  const reason = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (cause as Error).message;
  return new EspalierError('model_not_found', `${path}: ${reason}`, { cause });
}

async function readIndex(path: string): Promise<Map<string, string>> {
  const text = await readModelText(path);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new EspalierError('model_format', `${path}: got no JSON (${(cause as Error).message})`, { cause });
  }
  const weightMap = (parsed as { weight_map?: unknown } | null)?.weight_map;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap))
    throw new EspalierError('model_format', `${path}: weight_map: got none, expected file names by tensor`);
  for (const [name, file] of Object.entries(weightMap))
    if (typeof file !== 'string' || !/^[^/\\\0]+\.safetensors$/.test(file))
      throw new EspalierError(
        'model_format',
        `${path}: ${name}: got ${JSON.stringify(file)}, expected a plain name of a .safetensors file in the same folder`,
      );
  return new Map(Object.entries(weightMap as Record<string, string>));
}

function conversion(directory: string, architecture: string): string {
  // A JSON string is a Python string too; the shell's quote is the one character left to escape.
  const name = JSON.stringify(directory).replaceAll("'", "'\\''");
  return `convert it with: python -c 'from transformers import ${architecture} as M; M.from_pretrained(${name}).save_pretrained(${name})'`;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
