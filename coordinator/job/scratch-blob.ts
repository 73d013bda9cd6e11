// Blobs that a job makes for its workers and needs again: in its scratch folder, not in memory, where those of many steps and
// jobs would add up.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type BlobSource, blobOfParts, readChunks } from '../../shared/blobs/blob-source.ts';
import { EspalierError, namingFile } from '../../shared/errors.ts';
import { decodeSafetensors, safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { JobHome } from '../store/stage-store.ts';

/** Writes tensors as a safetensors blob into the job's scratch folder, where it stays as long as that does.
 * @throws EspalierError "disk_full". */
export async function scratchBlob(
  home: Pick<JobHome, 'scratch'>,
  tensors: readonly NamedTensor[],
): Promise<BlobSource> {
  const parts = safetensorsParts(tensors);
  const { digest, sizeBytes } = blobOfParts(parts);
  const folder = path.join(await home.scratch(), 'blobs');
  const file = path.join(folder, digest);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(file, parts);
  } catch (caught) {
    throw namingFile(file, caught);
  }
  return { digest, sizeBytes, open: () => readChunks(file) };
}

/** The tensors of a safetensors blob. @param label what messages call it.
 * @throws EspalierError "model_format", "internal" where the blob is not as long as it says. */
export async function blobTensors(
  { sizeBytes, open }: BlobSource,
  label: string,
): Promise<ReadonlyMap<string, NamedTensor>> {
  const bytes = new Uint8Array(sizeBytes);
  let filled = 0;
  for await (const chunk of open()) {
    if (filled + chunk.byteLength > sizeBytes) break;
    bytes.set(chunk, filled);
    filled += chunk.byteLength;
  }
  if (filled !== sizeBytes)
    throw new EspalierError('internal', `${label}: got ${filled} bytes or more, expected ${sizeBytes}`);
  return decodeSafetensors(bytes, label).tensors;
}
