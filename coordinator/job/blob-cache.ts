// The blob folder that this user's local runs share: what lies there is not sent to local workers.
import { BlobStore } from '../../shared/blobs/blob-store.ts';
import { cacheFolder } from '../../shared/cache-folder.ts';

const LIMIT_BYTES = 20e9;

/** Opens it. @returns the store, and the folder to start local workers with. @throws EspalierError of BlobStore.open. */
export async function openBlobCache(): Promise<{ readonly store: BlobStore; readonly folder: string }> {
  const folder = cacheFolder('blobs');
  return { store: await BlobStore.open(folder, { limitBytes: LIMIT_BYTES }), folder };
}
