// Writes an ONNX model to disk: aside, flushed, then renamed, so that whoever sees the file sees all of it.
import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { namingFile } from '../../shared/errors.ts';
import { partialPath, removeAbandonedPartials } from '../../shared/partial-file.ts';
import { syncPath } from '../../shared/sync-path.ts';
import type { Checkpoint } from '../open-checkpoint.ts';
import { type OnnxOptions, onnxModel } from './onnx-model.ts';

const PIECE_BYTES = 4 * 2 ** 20;

export interface WrittenOnnx {
  /** The model's file, and after it the file of its matrices where it has one. */
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** Where the matrices of a model lie that one file cannot hold. */
export function externalDataFile(file: string): string {
  return `${file}.data`;
}

/** Writes a model, dense or pruned, as ONNX; the folder is made where it is missing, files that are there are replaced.
 * At every moment there is the old model whole, none, or the new one whole.
 * @throws EspalierError as onnxModel does; the signal's reason; errors of the file system as they are. */
export async function writeOnnx(
  checkpoint: Checkpoint,
  file: string,
  options: OnnxOptions & { readonly signal?: AbortSignal },
): Promise<WrittenOnnx> {
  const dataFile = externalDataFile(file);
  const model = onnxModel(checkpoint, options, basename(dataFile));
  const [aside, dataAside] = [file, dataFile].map(partialPath);
  try {
    await mkdir(dirname(file), { recursive: true });
    for (const target of [file, dataFile]) await removeAbandonedPartials(target);
    const written = [{ path: file, ...(await writePieces(aside, model.pieces(), options.signal)) }];
    if (model.external !== null) {
      written.push({ path: dataFile, ...(await writePieces(dataAside, model.external.pieces(), options.signal)) });
      // An older model must not be read with this one's matrices.
      await rm(file, { force: true });
      await rename(dataAside, dataFile);
    }
    await rename(aside, file);
    if (model.external === null) await rm(dataFile, { force: true });
    await syncPath(dirname(file));
    return { files: written };
  } catch (caught) {
    await rm(aside, { force: true }).catch(() => {});
    await rm(dataAside, { force: true }).catch(() => {});
    throw namingFile(file, caught);
  }
}

async function writePieces(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const handle = await open(path, 'w');
  try {
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      // In parts: to hash a large matrix at once would hold up all else that the process does.
      for (let done = 0; done < piece.byteLength; ) {
        const { bytesWritten } = await handle.write(piece, done, Math.min(PIECE_BYTES, piece.byteLength - done));
        hash.update(piece.subarray(done, done + bytesWritten));
        done += bytesWritten;
        bytes += bytesWritten;
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}
