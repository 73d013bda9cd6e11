// Blobs that a job makes for its workers and needs again: in its scratch folder, not in memory, where those of many steps and
// jobs would add up.
import { randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type BlobSource, blobOfParts, readChunks } from '../../shared/blobs/blob-source.ts';
import { namingFile } from '../../shared/errors.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { JobHome } from '../store/stage-store.ts';

/** @param file absolute path, whose content has this digest and never changes. */
export type LendBlob = (file: string, digest: string) => Promise<unknown>;

/** Writes tensors as a safetensors blob into the job's scratch folder, where it stays as long as that does.
 * @throws EspalierError "disk_full". */
export async function scratchBlob(
  { home, lendBlob }: { readonly home: Pick<JobHome, 'scratch'>; readonly lendBlob?: LendBlob },
  tensors: readonly NamedTensor[],
): Promise<BlobSource> {
  const parts = safetensorsParts(tensors);
  const { digest, sizeBytes } = blobOfParts(parts);
  const folder = path.join(await home.scratch(), 'blobs');
  const file = path.join(folder, digest);
  try {
    await mkdir(folder, { recursive: true });
    // Aside: a worker may read what an equal blob has left there.
    const aside = `${file}.${randomUUID()}`;
    await writeFile(aside, parts);
    await rename(aside, file);
    await lendBlob?.(file, digest);
  } catch (caught) {
    throw namingFile(file, caught);
  }
  return { digest, sizeBytes, open: () => readChunks(file) };
}
