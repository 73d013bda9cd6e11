// Sends what the cluster lacks of a campaign's inputs: each blob once, however many jobs name it, a few at a time.
import type { LocalInput } from '../coordinator/campaign/local-inputs.ts';
import type { BlobSource } from '../shared/blobs/blob-source.ts';
import type { ClusterClient } from './client/cluster-client.ts';
import type { CliContext } from './context.ts';
import { ByteProgress } from './views/byte-progress.ts';

const AT_ONCE = 3;

export interface Uploaded {
  readonly blobs: number;
  readonly bytes: number;
}

/** Uploads until the cluster has all of it. @returns what was sent. */
export async function uploadInputs(
  client: ClusterClient,
  inputs: readonly LocalInput[],
  context: Pick<CliContext, 'stderr' | 'env' | 'now' | 'onExit'>,
  quiet: boolean,
): Promise<Uploaded> {
  const blobs = new Map(inputs.flatMap(({ files }) => files.map(({ blob }) => [blob.digest, blob] as const)));
  const missing = await client.missing([...blobs.keys()]);
  const toSend = [...blobs.values()].filter(({ digest }) => missing.has(digest));
  const bytes = toSend.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const { stderr, env, now } = context;
  const progress = new ByteProgress({
    sink: stderr,
    quiet,
    terminal: env.TERM,
    now,
    verb: 'uploaded',
    totalBytes: bytes,
  });
  const close = () => progress.close();
  const forget = context.onExit(close);
  const waiting = [...toSend];
  const send = async () => {
    for (let blob = waiting.shift(); blob !== undefined; blob = waiting.shift())
      await client.upload(counted(blob, (sent) => progress.add(sent)));
  };
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
    close();
    forget();
  }
  return { blobs: toSend.length, bytes };
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
