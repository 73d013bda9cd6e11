// The inputs of a cluster's job as files of a folder of its own, where the stages read them as they would a user's:
// uploaded ones out of the object store, others out of a volume. Names in the folder come from the closed list alone.
import { link, mkdir, readdir, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { type BlobSource, blobOfFile, readChunks } from '../../shared/blobs/blob-source.ts';
import { digestFile } from '../../shared/blobs/file-digest.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Releases } from '../../shared/lifecycle.ts';
import type { JobResources } from '../job-resources.ts';
import { checkFileName, type FileKind, isWeightFile, MOST_FILES } from '../jobs/file-names.ts';
import type { FileRef, FileSource, JobSpec } from '../jobs/job-record.ts';
import { volumeFiles, volumeLabel } from '../jobs/volumes.ts';
import type { StageStore } from '../store/stage-store.ts';
import type { WeightPlace } from './model-blobs.ts';

/** An input, and what its user calls it. */
export interface GatheredInput {
  /** Folder of the model, or the data file. */
  readonly path: string;
  readonly label: string;
  /** Files of it whose content is known, by path. */
  readonly known: ReadonlyMap<string, FileRef>;
}

export interface GatheredInputs {
  readonly model: GatheredInput;
  readonly data: GatheredInput;
  readonly evaluation: GatheredInput | null;
}

/** Gathers what a spec names under `scratch`; `releases` lets go of what the cache must keep meanwhile.
 * @throws EspalierError "campaign_format", "model_not_found", "data_not_found", and those of ObjectCache.fetch. */
export async function gatherInputs(
  spec: Pick<JobSpec, 'model' | 'data' | 'evaluation'>,
  scratch: string,
  resources: JobResources,
  releases: Releases,
  signal: AbortSignal,
): Promise<GatheredInputs> {
  const gather = (source: FileSource, kind: FileKind, folder: string) =>
    gatherInput(source, kind, path.join(scratch, folder), resources, releases, signal);
  return {
    model: await gather(spec.model, 'model', 'model'),
    data: await gather(spec.data, 'data', 'data'),
    evaluation: spec.evaluation && (await gather(spec.evaluation, 'data', 'evaluation')),
  };
}

/** Gathers one input in a folder of its own, as `gatherInputs`. */
export async function gatherInput(
  source: FileSource,
  kind: FileKind,
  folder: string,
  resources: Pick<JobResources, 'blobs' | 'cache' | 'volumes'>,
  releases: Releases,
  signal: AbortSignal,
): Promise<GatheredInput> {
  await mkdir(folder, { recursive: true });
  const known = new Map<string, FileRef>();
  const names: string[] = [];
  if (source.kind === 'volume') {
    for (const file of await volumeFiles(resources.volumes, source, kind)) {
      names.push(file.name);
      await placeLink(file.path, path.join(folder, file.name), symlink);
    }
  } else {
    for (const file of checkFiles(kind, source.files)) {
      const { blobs, cache } = resources;
      releases.add(blobs.pin([file.digest]));
      const cached = await cache.fetch(file.digest, file.sizeBytes, signal);
      const target = path.join(folder, file.name);
      names.push(file.name);
      // A hard link: the file outlives the cache's own, which another process may evict.
      await placeLink(cached, target, link);
      known.set(target, file);
      // Data are hashed where they are read, weights by `weightDigests`.
      if (kind === 'model' && !isWeightFile(file.name))
        await checkContent(known, target, (await blobOfFile(target)).digest, resources);
    }
  }
  const label = source.kind === 'volume' ? volumeLabel(source) : source.label;
  return { path: kind === 'data' ? path.join(folder, names[0]) : folder, label, known };
}

/** SHA-256 of a model's weight files by name, each read once as long as it stays as it is. One that is no longer what it was pulled
 * as is left out: whoever reads it finds that. */
export async function weightDigests(
  { path: folder, known }: GatheredInput,
  { blobs }: Pick<JobResources, 'blobs'>,
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  for (const name of (await readdir(folder)).filter(isWeightFile)) {
    const file = path.join(folder, name);
    const pulled = known.get(file);
    if (pulled === undefined) digests.set(name, (await digestFile(file)).digest);
    else if (await blobs.isCopy(file, pulled.digest)) digests.set(name, pulled.digest);
  }
  return digests;
}

/** Compares what was read with what it is known by: a disk may have changed it since it was pulled.
 * @throws EspalierError "blob_corrupt", after dropping the copy, so that the next try pulls it again. */
export async function checkContent(
  known: ReadonlyMap<string, FileRef>,
  file: string,
  digest: string,
  { cache }: Pick<JobResources, 'cache'>,
): Promise<void> {
  const expected = known.get(file);
  if (expected === undefined || expected.digest === digest) return;
  await cache.forget(expected.digest);
  throw new EspalierError('blob_corrupt', `${expected.digest}: ${expected.name}: got content with digest ${digest}`);
}

/** `checkContent` of every file whose content is known, each read once more. */
export async function checkAllContent(inputs: GatheredInputs, resources: Pick<JobResources, 'cache'>): Promise<void> {
  for (const input of [inputs.model, inputs.data, inputs.evaluation]) {
    if (input === null) continue;
    for (const file of input.known.keys())
      await checkContent(input.known, file, (await blobOfFile(file)).digest, resources);
  }
}

/** The files of an input, each with a name of the list and none twice; of data exactly one.
 * @throws EspalierError "campaign_format". */
export function checkFiles(kind: FileKind, files: readonly FileRef[]): readonly FileRef[] {
  const most = kind === 'data' ? 1 : MOST_FILES;
  if (files.length < 1 || files.length > most)
    throw new EspalierError('campaign_format', `${kind}: got ${files.length} files, expected 1 to ${most}`);
  const names = files.map(({ name }) => checkFileName(kind, name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new EspalierError('campaign_format', `${kind}: got ${twice} twice`);
  return files;
}

async function placeLink(from: string, to: string, make: (from: string, to: string) => Promise<void>): Promise<void> {
  await rm(to, { force: true });
  try {
    await make(from, to);
  } catch (caught) {
    // The cache may lie on another disk.
    if ((caught as NodeJS.ErrnoException).code !== 'EXDEV') throw caught;
    await symlink(from, to);
  }
}

/** Weights go into the object store, where workers pull them by digest: those that came from there are there already, and
 * the job's spec names them. @param home where all others are named, or they would be collected while the job runs. */
export function storeWeights(
  model: GatheredInput,
  { objects }: Pick<JobResources, 'objects'>,
  home: StageStore,
  signal: AbortSignal,
): WeightPlace {
  return {
    async place(file, sha256) {
      const known = model.known.get(file);
      const { digest, sizeBytes } =
        known ?? (sha256 ? { digest: sha256, sizeBytes: (await stat(file)).size } : await digestFile(file));
      const blob: BlobSource = { digest, sizeBytes, origin: 'store', open: () => readChunks(file) };
      await objects.put(blob.digest, blob.sizeBytes, blob.open(), signal);
      if (known === undefined) {
        const named = (await home.readJson<readonly string[]>('weights')) ?? [];
        if (!named.includes(blob.digest)) await home.writeJson('weights', [...named, blob.digest]);
      }
      return blob;
    },
  };
}
