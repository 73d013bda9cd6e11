// What leaves a blob folder: the least recently used blobs beyond the limit, and files of processes that were killed.
import { readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { isRunning } from '../process-identity.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

interface StoredBlob {
  readonly digest: string;
  readonly file: string;
  readonly linkFile: string | null;
  readonly usedAtMs: number;
  /** 0 for a link whose original still exists: removing it frees nothing. */
  readonly sizeBytes: number;
}

/** Removes blobs, least recently used first, until the rest take at most `limitBytes`; pinned ones stay.
 * Returns the bytes that are left. Files that vanish meanwhile (another process does the same) are no error. */
export async function evictOldest(
  sha256Dir: string,
  limitBytes: number,
  isPinned: (digest: string) => boolean,
): Promise<number> {
  const blobs = await listBlobs(sha256Dir);
  let totalBytes = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
  blobs.sort((a, b) => a.usedAtMs - b.usedAtMs);
  for (const blob of blobs) {
    if (totalBytes <= limitBytes) break;
    if (blob.sizeBytes === 0 || isPinned(blob.digest)) continue;
    await rm(blob.file, { force: true });
    if (blob.linkFile !== null) await rm(blob.linkFile, { force: true });
    totalBytes -= blob.sizeBytes;
  }
  return totalBytes;
}

async function listBlobs(sha256Dir: string): Promise<StoredBlob[]> {
  const blobs: StoredBlob[] = [];
  for (const prefix of await readdir(sha256Dir)) {
    const names = new Set(await readdir(path.join(sha256Dir, prefix)));
    for (const name of names) {
      if (name.includes('.')) continue;
      const file = path.join(sha256Dir, prefix, name);
      const linkFile = names.has(`${name}.link`) ? `${file}.link` : null;
      const found = await stat(file).catch(() => null);
      const used = linkFile === null ? found : await stat(linkFile).catch(() => null);
      // The file that it links to was deleted by its owner.
      if (found === null && linkFile !== null) for (const gone of [file, linkFile]) await rm(gone, { force: true });
      if (found === null || used === null) continue;
      const sizeBytes = linkFile === null ? found.size : 0;
      blobs.push({ digest: prefix + name, file, linkFile, usedAtMs: used.mtimeMs, sizeBytes });
    }
  }
  return blobs;
}

/** Removes what processes that no longer run were writing. Of another machine's processes nothing is known (the folder
 * may be on a network disk): their files go after a day without a write. */
export async function removeLeftovers(incomingDir: string): Promise<void> {
  for (const name of await readdir(incomingDir)) {
    const file = path.join(incomingDir, name);
    const found = await stat(file).catch(() => null);
    if (found === null) continue;
    const [, host, pid] = /^(.*)\.(\d+)\.[^.]+$/.exec(name) ?? [];
    const killed = host === hostname() && pid !== undefined && !isRunning(Number(pid));
    if (killed || Date.now() - found.mtimeMs > DAY_MS) await rm(file, { force: true });
  }
}
