// Sends what the cluster lacks of a campaign's inputs: each blob once, however many jobs name it, a few at a time. Until the
// submit names them, blobs stay only as long as somebody asks for them: an upload of hours asks again for what is there.
import type { LocalInput } from '../coordinator/campaign/local-inputs.ts';
import type { BlobSource } from '../shared/blobs/blob-source.ts';
import type { ClusterClient } from './client/cluster-client.ts';
import type { CliContext } from './context.ts';
import { ByteProgress } from './views/byte-progress.ts';

const AT_ONCE = 3;
/** Well below the least age at which housekeeping removes a blob that no record names: 15 minutes, for room. */
export const KEEP_MS = 300_000;

export interface Uploaded {
  readonly blobs: number;
  readonly bytes: number;
}

/** Uploads until the cluster has all of it. @returns what was sent. */
export async function uploadInputs(
  client: Pick<ClusterClient, 'missing' | 'upload'>,
  inputs: readonly LocalInput[],
  context: Pick<CliContext, 'stderr' | 'env' | 'now' | 'onExit'>,
  quiet: boolean,
): Promise<Uploaded> {
  const blobs = new Map(inputs.flatMap(({ files }) => files.map(({ blob }) => [blob.digest, blob] as const)));
  const missing = await client.missing([...blobs.keys()]);
  const waiting = [...blobs.values()].filter(({ digest }) => missing.has(digest));
  const there = new Set([...blobs.keys()].filter((digest) => !missing.has(digest)));
  const sent = { blobs: 0, bytes: 0 };
  const { stderr, env, now } = context;
  const progress = new ByteProgress({ sink: stderr, quiet, terminal: env.TERM, now, verb: 'uploaded' });
  progress.expect(bytesOf(waiting));
  const close = () => progress.close();
  const forget = context.onExit(close);
  const send = async () => {
    for (let blob = waiting.shift(); blob !== undefined; blob = waiting.shift()) {
      await client.upload(counted(blob, (bytes) => progress.add(bytes)));
      there.add(blob.digest);
      sent.blobs += 1;
      sent.bytes += blob.sizeBytes;
    }
  };
  const keep = async () => {
    for (const digest of await client.missing([...there])) {
      there.delete(digest);
      waiting.push(blobs.get(digest)!);
      progress.expect(blobs.get(digest)!.sizeBytes);
    }
  };
  // One that fails is made good by the next, or by the submit, which tells what is missing.
  const keeping = setInterval(() => void keep().catch(() => {}), KEEP_MS);
  try {
    // After a failure the others have no more to start.
    await Promise.all(
      Array.from({ length: AT_ONCE }, () =>
        send().catch((caught: unknown) => {
          waiting.length = 0;
          throw caught;
        }),
      ),
    );
  } finally {
    clearInterval(keeping);
    close();
    forget();
  }
  return sent;
}

function bytesOf(blobs: readonly BlobSource[]): number {
  return blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** The same blob, which tells of the bytes that are read; those of a try that broke are taken back by the next. */
function counted(blob: BlobSource, onBytes: (bytes: number) => void): BlobSource {
  let told = 0;
  return {
    ...blob,
    async *open() {
      onBytes(-told);
      told = 0;
      for await (const chunk of blob.open()) {
        yield chunk;
        told += chunk.byteLength;
        onBytes(chunk.byteLength);
      }
    },
  };
}
