// Where the blobs come from that a task names.
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { ObjectCache } from '../../shared/blobs/object-cache.ts';
import type { ObjectBucket } from '../../shared/bus/bus.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { BlobRef__Output } from '../../shared/rpc/generated/espalier/v1/BlobRef.ts';
import type { WorkerObserver } from '../worker-observer.ts';

export interface BlobSupply {
  /** Resolves when all of them are in the cache. The caller has pinned them.
   * @throws EspalierError "blob_missing" that names those which cannot be had, or the signal's reason. */
  require(refs: readonly BlobRef__Output[], signal: AbortSignal): Promise<void>;
}

/** Only what coordinators have sent. */
export function sentBlobs(blobs: BlobStore, observer: WorkerObserver): BlobSupply {
  return {
    async require(refs) {
      const missing = await absent(blobs, refs, observer);
      if (missing.length > 0) throw blobsMissing(missing);
    },
  };
}

/** Those that are not in the cache, each once. */
export async function absent(
  blobs: BlobStore,
  refs: readonly BlobRef__Output[],
  observer: WorkerObserver,
): Promise<BlobRef__Output[]> {
  const named = [...new Map(refs.map((ref) => [ref.digest, ref])).values()];
  const present = await Promise.all(
    named.map(async ({ digest, sizeBytes }) => (await blobs.has(digest, sizeBytes)) && (await blobs.isWhole(digest))),
  );
  const missing = named.filter((_, i) => !present[i]);
  observer.cacheRequested('hit', named.length - missing.length);
  observer.cacheRequested('miss', missing.length);
  return missing;
}

export function blobsMissing(refs: readonly BlobRef__Output[]): EspalierError {
  return new EspalierError('blob_missing', `not on this worker: ${refs.map(({ digest }) => digest).join(', ')}`);
}

/** What coordinators have sent, and for the rest the cluster's object store. */
export function pulledBlobs(blobs: BlobStore, objects: ObjectBucket, observer: WorkerObserver): BlobSupply {
  const cache = new ObjectCache(objects, blobs, {
    onPulled: (_digest, sizeBytes) => observer.addBytes('received', sizeBytes),
  });
  return {
    async require(refs, signal) {
      const missing = await absent(blobs, refs, observer);
      const bytes = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      if (bytes > blobs.limitBytes)
        throw new EspalierError(
          'limit_exceeded',
          `blobs of one task: got ${bytes} bytes, the cache of this worker holds ${blobs.limitBytes}`,
          { action: 'give workers a larger --blob-limit-gb' },
        );
      const outcomes = await Promise.allSettled(
        missing.map(({ digest, sizeBytes }) => cache.fetch(digest, sizeBytes, signal)),
      );
      const failures = outcomes.flatMap((outcome, i) =>
        outcome.status === 'rejected' ? [{ ref: missing[i], error: toEspalierError(outcome.reason) }] : [],
      );
      // Those that can be sent are named together; anything else tells more.
      const other = failures.find(({ error }) => error.code !== 'blob_missing');
      if (other !== undefined) throw other.error;
      if (failures.length > 0) throw blobsMissing(failures.map(({ ref }) => ref));
    },
  };
}
