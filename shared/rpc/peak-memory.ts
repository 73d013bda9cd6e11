// The most memory that a worker has used so far, beside the result of each task: nothing depends on it.
import { Metadata } from '@grpc/grpc-js';

const KEY = 'espalier-peak-memory-bytes';

/** What ends the stream of a result. @param bytes null: not known. */
export function peakMemoryTrailer(bytes: number | null): Metadata {
  const metadata = new Metadata();
  if (bytes !== null) metadata.set(KEY, `${bytes}`);
  return metadata;
}

/** null where the peer did not tell, or no number of bytes. */
export function readPeakMemory(trailer: Metadata): number | null {
  const [text] = trailer.get(KEY);
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : null;
}
