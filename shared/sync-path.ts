// Flushing to disk.
import { open } from 'node:fs/promises';

/** Flushes one file, or the list of names in one folder, to disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
