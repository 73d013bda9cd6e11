// Blobs where they come from: bytes in memory or a file, named by the SHA-256 of the content.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

const READ_BYTES = 1024 * 1024;

/** Content that can be read any number of times, and its name. */
export interface BlobSource {
  /** SHA-256, 64 lower-case hexadecimal digits. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** "store": it is in the cluster's object store, where workers get it by themselves; else whoever runs the task sends it. */
  readonly origin?: 'store';
  open(): AsyncIterable<Uint8Array>;
}

/** A blob in memory; the bytes must not change afterwards. */
export function blobOfBytes(bytes: Uint8Array): BlobSource {
  return blobOfParts([bytes]);
}

/** A blob of parts in memory, one after the other, as `blobOfBytes`. */
export function blobOfParts(parts: readonly Uint8Array[]): BlobSource {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return {
    digest: hash.digest('hex'),
    sizeBytes: parts.reduce((sum, { byteLength }) => sum + byteLength, 0),
    async *open() {
      yield* parts;
    },
  };
}

/** A blob that is a file: read once now for its digest, and again by each `open`. Whoever stores it checks the digest,
 * so a file that changes in between is noticed. */
export async function blobOfFile(path: string): Promise<BlobSource> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of readChunks(path)) {
    hash.update(chunk);
    sizeBytes += chunk.byteLength;
  }
  return { digest: hash.digest('hex'), sizeBytes, open: () => readChunks(path) };
}

/** The bytes of a file in pieces of at most 1 MiB. The file is opened by the first that is asked for: whoever finds that the
 * bytes are not needed need not close anything. */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* createReadStream(path, { highWaterMark: READ_BYTES });
}
