// Reads an object's chunks in order, a few ahead of its reader, and checks size and digest. It asks for chunks by batches
// and leaves nothing on the server, so it needs only the right to read.
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { EspalierError } from '../errors.ts';
import type { JetStream } from './jet-stream.ts';
import { CHUNK_BYTES, chunkSubject, type ObjectInfo } from './object-layout.ts';
import { OBJECTS_STREAM } from './streams.ts';

/** Chunks of one batch; two batches are held at a time. */
const BATCH = 4;
// A leader that was just elected may be a little behind.
const TRIES = 4;
const TRY_MS = 150;

interface Batch {
  readonly chunks: readonly Uint8Array[];
  /** Where the next one starts. */
  readonly next: number;
}

/** Who answers. "any": the server sends the chunks as they are, in batches, from whichever replica is asked; one that lags
 * may lack the last ones. "leader": one by one and written out in JSON; what it lacks is not there. */
export type ChunkSource = 'any' | 'leader';

/** The bytes of an object. @throws EspalierError "blob_corrupt" at the end unless they are what its name says, "blob_missing"
 * when `isThere` says that it was deleted meanwhile. */
export async function* readChunks(
  jetStream: JetStream,
  { digest, sizeBytes, upload }: ObjectInfo,
  source: ChunkSource,
  isThere: () => Promise<boolean>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const fetch = (from: number) =>
    source === 'any' ? fromAny(jetStream, upload, from) : fromLeader(jetStream, upload, from);
  const hash = createHash('sha256');
  let leftBytes = sizeBytes;
  let tries = 0;
  let ahead = leftBytes > 0 ? fetch(1) : null;
  try {
    while (leftBytes > 0) {
      const batch: Batch = await ahead!;
      ahead = null;
      if (signal?.aborted) throw new EspalierError('cancelled', `${digest}: interrupted`, { cause: signal.reason });
      const gotBytes = batch.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
      if (gotBytes > leftBytes)
        throw new EspalierError('blob_corrupt', `${digest}: more is stored than its ${sizeBytes} bytes`);
      if (gotBytes === 0) {
        tries += 1;
        if (!(await isThere())) throw new EspalierError('blob_missing', `${digest}: deleted while it was read`);
        if (tries === TRIES)
          throw new EspalierError('blob_corrupt', `${digest}: ${leftBytes} of ${sizeBytes} bytes are missing`);
        await pause(TRY_MS);
      }
      leftBytes -= gotBytes;
      if (leftBytes > 0) ahead = fetch(batch.next);
      else if (source === 'leader' && (await fetch(batch.next)).chunks.length > 0)
        throw new EspalierError('blob_corrupt', `${digest}: more is stored than its ${sizeBytes} bytes`);
      for (const chunk of batch.chunks) {
        hash.update(chunk);
        if (leftBytes === 0 && chunk === batch.chunks.at(-1)) checkDigestOf(hash.digest('hex'), digest);
        yield chunk;
      }
    }
    if (sizeBytes === 0) checkDigestOf(hash.digest('hex'), digest);
  } finally {
    await ahead?.catch(() => {});
  }
}

function checkDigestOf(got: string, digest: string): void {
  if (got !== digest) throw new EspalierError('blob_corrupt', `${digest}: got content with digest ${got}`);
}

/** What a replica has no more of, the leader is asked for. */
async function fromAny(jetStream: JetStream, upload: string, from: number): Promise<Batch> {
  const chunks: Uint8Array[] = [];
  let next = from;
  const request = { from, subject: chunkSubject(upload), count: BATCH, bytes: BATCH * (CHUNK_BYTES + 1024) };
  await jetStream.batch(OBJECTS_STREAM, request, ({ data, sequence }) => {
    chunks.push(data);
    next = sequence + 1;
  });
  return chunks.length > 0 ? { chunks, next } : fromLeader(jetStream, upload, from);
}

async function fromLeader(jetStream: JetStream, upload: string, from: number): Promise<Batch> {
  const found = await jetStream.next(OBJECTS_STREAM, chunkSubject(upload), from);
  return found === null ? { chunks: [], next: from } : { chunks: [found.data], next: found.sequence + 1 };
}
