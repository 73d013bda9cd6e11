// Writing to disk so that a crash at any moment leaves the old file or the new one, whole: temporary file, fsync,
// rename, fsync of the folder.
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { namingFile } from '../../shared/errors.ts';
import { partialPath, removeAbandonedPartials } from '../../shared/partial-file.ts';
import { syncPath } from '../../shared/sync-path.ts';

/** Writes `chunks` one after the other as the file at `path`, making its folder where it is missing. */
export async function writeFileAtomically(
  path: string,
  chunks: readonly (string | Uint8Array | AsyncIterable<Uint8Array>)[],
): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const temporary = partialPath(path);
  try {
    await removeAbandonedPartials(path);
    const file = await open(temporary, 'w');
    try {
      for (const chunk of chunks)
        if (typeof chunk === 'string' || chunk instanceof Uint8Array) await file.writeFile(chunk);
        else for await (const piece of chunk) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (caught) {
    await rm(temporary, { force: true });
    throw namingFile(path, caught);
  }
  await syncPath(folder);
}

/** Flushes a folder and everything in it to disk. */
export async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else if (entry.isFile()) await syncPath(path);
  }
  await syncPath(folder);
}
