// Objects of the cluster's store on this machine's disk: pulled by digest when they are first needed, one download at a
// time for each digest, under the size limit of the folder that they lie in.
import type { ObjectBucket } from '../bus/bus.ts';
import { unlessAborted } from '../rpc/abort.ts';
import type { BlobStore } from './blob-store.ts';

export class ObjectCache {
  readonly #objects: ObjectBucket;
  readonly #blobs: BlobStore;
  readonly #downloads = new Map<string, Promise<string>>();

  constructor(objects: ObjectBucket, blobs: BlobStore) {
    this.#objects = objects;
    this.#blobs = blobs;
  }

  /** The path of the object's bytes. Pin the digest in the folder for as long as they are used. A download that others
   * wait for goes on when `signal` aborts.
   * @throws EspalierError "blob_missing", "blob_corrupt", "limit_exceeded", "bus_unavailable", "disk_full". */
  async fetch(digest: string, sizeBytes: number, signal?: AbortSignal): Promise<string> {
    const path = this.#blobs.path(digest);
    const running = this.#downloads.get(digest);
    if (running === undefined && (await this.#blobs.has(digest, sizeBytes))) return path;
    return unlessAborted(this.#downloads.get(digest) ?? this.#download(digest, sizeBytes), signal);
  }

  /** Drops a copy whose content turned out to be wrong. */
  forget(digest: string): Promise<void> {
    return this.#blobs.remove(digest);
  }

  #download(digest: string, sizeBytes: number): Promise<string> {
    const download = this.#blobs.put(digest, sizeBytes, this.#objects.open(digest)).finally(() => {
      this.#downloads.delete(digest);
    });
    this.#downloads.set(digest, download);
    return download;
  }
}
