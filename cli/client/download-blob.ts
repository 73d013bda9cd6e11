// A blob of a job into a file: written as it comes, and good only when size and digest are as named.
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { EspalierError, namingFile } from '../../shared/errors.ts';
import { cancelOnAbort } from '../../shared/rpc/abort.ts';
import { CALL_MS, type Coordinators } from './coordinators.ts';

/** The slowest download that is still waited for, beside CALL_MS. */
const MIN_BYTES_PER_MS = 1_000;

export interface NamedBlob {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Writes a blob that the job's record names to a new file. @throws EspalierError "blob_corrupt", "disk_full". */
export async function downloadBlob(
  coordinators: Coordinators,
  jobId: string,
  blob: NamedBlob,
  file: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const timeoutMs = CALL_MS + blob.sizeBytes / MIN_BYTES_PER_MS;
  await coordinators.unlessBusy(async ({ artifacts }) => {
    const handle = await open(file, 'w').catch((caught: unknown) => {
      throw namingFile(file, caught);
    });
    try {
      // Read from the moment on that it begins: an error that comes before somebody reads would be lost.
      const call = artifacts.get({ jobId, digest: blob.digest }, { deadline: Date.now() + timeoutMs });
      const stop = cancelOnAbort(call, coordinators.signal);
      try {
        await writeChecked(call, blob, handle, file, onBytes);
      } finally {
        stop();
        call.cancel();
      }
    } finally {
      await handle.close();
    }
  });
}

async function writeChecked(
  chunks: AsyncIterable<{ readonly chunk: Buffer }>,
  { digest, sizeBytes }: NamedBlob,
  handle: FileHandle,
  file: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const hash = createHash('sha256');
  let writtenBytes = 0;
  for await (const { chunk } of chunks) {
    writtenBytes += chunk.byteLength;
    if (writtenBytes > sizeBytes) break;
    hash.update(chunk);
    await handle.writeFile(chunk).catch((caught: unknown) => {
      throw namingFile(file, caught);
    });
    onBytes(chunk.byteLength);
  }
  if (writtenBytes !== sizeBytes)
    throw new EspalierError('blob_corrupt', `${digest}: got ${writtenBytes} bytes or more, expected ${sizeBytes}`);
  const got = hash.digest('hex');
  if (got !== digest) throw new EspalierError('blob_corrupt', `${digest}: got content with digest ${got}`);
}
