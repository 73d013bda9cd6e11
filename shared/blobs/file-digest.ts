// SHA-256 of files, by streams. A file is read once a process as long as it stays as it is: several parts of a job ask for the
// digests of a model's weights, and each reading of them takes a second a gigabyte and more.
import { createHash } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

const READ_BYTES = 1024 * 1024;
/** Beyond that many all are read once more. */
const MOST_KNOWN = 1000;

/** Digests by what the file system says of the file, whatever links lead to it. */
const known = new Map<string, string>();

/** Digest and size of a file. @returns what an earlier call found where inode, size and time of change are the same since.
 * @throws errors of the file system as they are. */
export async function digestFile(file: string): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const before = await stat(file, { bigint: true });
  const sizeBytes = Number(before.size);
  const found = known.get(stateOf(before));
  if (found !== undefined) return { digest: found, sizeBytes };
  const hash = createHash('sha256');
  let readBytes = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: READ_BYTES })) {
    hash.update(chunk as Buffer);
    readBytes += (chunk as Buffer).byteLength;
  }
  const digest = hash.digest('hex');
  // One that was written to meanwhile is read again by whoever asks next.
  if (stateOf(await stat(file, { bigint: true })) === stateOf(before)) {
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(stateOf(before), digest);
  }
  return { digest, sizeBytes: readBytes };
}

function stateOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}
