// The files of a campaign on this machine, as they are sent: only those that a model or a data set consists of, under names
// from the closed list, each named by its content.
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { findWeightFiles } from '../../checkpoint/weight-files.ts';
import { type BlobSource, blobOfFile } from '../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../shared/errors.ts';
import { dataFileName, type FileKind, isFileName, isWeightFile } from '../jobs/file-names.ts';
import type { CampaignInput } from './campaign-file.ts';
import type { CampaignJob } from './expand-campaign.ts';

const INDEX_FILE = 'model.safetensors.index.json';

export interface LocalFile {
  /** Under which the cluster stores it. */
  readonly name: string;
  readonly blob: BlobSource;
}

export interface LocalInput {
  /** As it stands in the campaign. */
  readonly name: string;
  readonly files: readonly LocalFile[];
}

/** Reads every file that jobs name by a path, each once. @throws EspalierError for a file that cannot be sent. */
export async function localInputs(
  jobs: readonly CampaignJob[],
  folder: string,
  signal: AbortSignal,
): Promise<LocalInput[]> {
  const kinds = new Map<string, FileKind>();
  const add = (kind: FileKind, input: CampaignInput | null) => {
    if (typeof input === 'string') kinds.set(input, kind);
  };
  for (const { model, data, evaluation } of jobs) {
    add('model', model);
    add('data', data);
    add('data', evaluation);
  }
  const read = new Map<string, Promise<BlobSource>>();
  const inputs: LocalInput[] = [];
  for (const [name, kind] of kinds) {
    const place = path.resolve(folder, name);
    const files: LocalFile[] = [];
    for (const file of kind === 'data' ? [place] : await modelFiles(place)) {
      signal.throwIfAborted();
      const blob = read.get(file) ?? blobOfFile(file);
      read.set(file, blob);
      files.push({ name: kind === 'data' ? dataFileName(file) : path.basename(file), blob: await blob });
    }
    inputs.push({ name, files });
  }
  return inputs;
}

/** Files of a model folder that are read: weights of other formats, or shards beside a whole file, stay behind. */
async function modelFiles(folder: string): Promise<string[]> {
  const { files: weights, fileByTensor } = await findWeightFiles(folder, 'AutoModel');
  const weightNames = weights.map(({ label }) => label);
  const stray = weightNames.find((name) => !isFileName('model', name));
  if (stray !== undefined)
    throw new EspalierError('model_format', `${folder}: got weights ${stray}, expected names as save_pretrained gives`);
  const names: string[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!isFileName('model', name) || isWeightFile(name) || (name === INDEX_FILE && fileByTensor === null)) continue;
    const found = await stat(path.join(folder, name)).catch(() => null);
    if (found?.isFile()) names.push(name);
  }
  return [...names, ...weightNames].map((name) => path.join(folder, name));
}
