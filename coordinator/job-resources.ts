// What the jobs of one coordinator share: the object store and its cache on disk, volumes, and bounds on what jobs do at
// the same time.
import { BlobStore } from '../shared/blobs/blob-store.ts';
import { ObjectCache } from '../shared/blobs/object-cache.ts';
import type { ObjectBucket } from '../shared/bus/bus.ts';

export interface JobResources {
  readonly objects: ObjectBucket;
  readonly blobs: BlobStore;
  /** Objects pulled into `blobs`. */
  readonly cache: ObjectCache;
  /** Folders of the operator's by the name that jobs call them. */
  readonly volumes: ReadonlyMap<string, string>;
}

export interface JobResourcesOptions {
  readonly objects: ObjectBucket;
  readonly cacheDir: string;
  readonly cacheLimitBytes: number;
  readonly volumes: ReadonlyMap<string, string>;
}

/** One for each coordinator; holds nothing that needs closing. @throws EspalierError of BlobStore.open. */
export async function openJobResources(options: JobResourcesOptions): Promise<JobResources> {
  const { objects, volumes } = options;
  const blobs = await BlobStore.open(options.cacheDir, { limitBytes: options.cacheLimitBytes });
  return { objects, volumes, blobs, cache: new ObjectCache(objects, blobs) };
}
