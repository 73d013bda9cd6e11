// Objects of the cluster's store on this machine's disk: pulled by digest when they are first needed, under the size
// limit of the folder that they lie in.
//
// There is one download at a time for each digest, in this process and among all that share the folder: a lock beside
// the blobs, which the death of its holder frees, says who pulls; the others wait for the end and use what came. A
// download that nobody waits for any more is stopped.
import type { ObjectBucket } from '../bus/bus.ts';
import { EspalierError, toEspalierError } from '../errors.ts';
import { acquireFolderLock } from '../exclusive/folder-lock.ts';
import { unlessAborted } from '../rpc/abort.ts';
import type { BlobStore } from './blob-store.ts';

const MOST_DOWNLOADS = 4;
/** A process that hangs while it pulls stops others no longer than this: then there are two downloads, which is harmless. */
const MOST_WAIT_MS = 120_000;

export interface ObjectCacheOptions {
  /** Downloads of this process at once; 4 unless told otherwise. */
  readonly mostDownloads?: number;
  /** Told of each blob that this process has pulled. */
  readonly onPulled?: (digest: string, sizeBytes: number) => void;
}

interface Download {
  readonly sizeBytes: number;
  readonly done: Promise<void>;
  readonly stop: AbortController;
  waiters: number;
}

export class ObjectCache {
  readonly #objects: ObjectBucket;
  readonly #blobs: BlobStore;
  readonly #onPulled: (digest: string, sizeBytes: number) => void;
  readonly #downloads = new Map<string, Download>();
  readonly #queue: (() => void)[] = [];
  #freeSlots: number;

  constructor(objects: ObjectBucket, blobs: BlobStore, options: ObjectCacheOptions = {}) {
    this.#objects = objects;
    this.#blobs = blobs;
    this.#freeSlots = options.mostDownloads ?? MOST_DOWNLOADS;
    this.#onPulled = options.onPulled ?? (() => {});
  }

  /** The path of the object's bytes. Pin the digest in the folder for as long as they are used. A download that others
   * wait for goes on when `signal` aborts.
   * @throws EspalierError "blob_missing", "blob_corrupt", "limit_exceeded", "bus_unavailable", "disk_full", or the
   * signal's reason. */
  async fetch(digest: string, sizeBytes: number, signal?: AbortSignal): Promise<string> {
    const path = this.#blobs.path(digest);
    if (!this.#downloads.has(digest) && (await this.#blobs.has(digest, sizeBytes))) return path;
    const download = this.#downloads.get(digest) ?? this.#begin(digest, sizeBytes);
    if (download.sizeBytes !== sizeBytes)
      throw new EspalierError(
        'protocol',
        `${digest}: got a size of ${sizeBytes} bytes, another caller said ${download.sizeBytes}`,
      );
    download.waiters += 1;
    try {
      await unlessAborted(download.done, signal);
    } finally {
      download.waiters -= 1;
      if (download.waiters === 0) {
        this.#forgetDownload(digest, download);
        download.stop.abort(new EspalierError('cancelled', `${digest}: nobody waits for it any more`));
      }
    }
    return path;
  }

  /** Drops a copy whose content turned out to be wrong. */
  forget(digest: string): Promise<void> {
    return this.#blobs.remove(digest);
  }

  #begin(digest: string, sizeBytes: number): Download {
    const stop = new AbortController();
    const done = this.#pull(digest, sizeBytes, stop.signal);
    const download: Download = { sizeBytes, done, stop, waiters: 0 };
    this.#downloads.set(digest, download);
    const end = () => this.#forgetDownload(digest, download);
    done.then(end, end);
    return download;
  }

  #forgetDownload(digest: string, download: Download): void {
    if (this.#downloads.get(digest) === download) this.#downloads.delete(digest);
  }

  async #pull(digest: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
    const leave = await this.#slot(signal);
    try {
      const folder = this.#blobs.locksFolder;
      const request = { folder, name: digest, mode: 'exclusive' as const, timeoutMs: MOST_WAIT_MS, signal };
      const release = await acquireFolderLock(request);
      try {
        // Another process may have brought it meanwhile.
        if (await this.#blobs.has(digest, sizeBytes)) return;
        const download = () =>
          this.#blobs.put(digest, sizeBytes, stoppable(this.#objects.open(digest, signal), signal));
        try {
          await download();
        } catch (caught) {
          if (toEspalierError(caught).code !== 'disk_full') throw caught;
          // The disk is smaller than the limit of the folder, or others fill it: what is not in use gives way, once.
          await this.#blobs.evictUnpinned();
          await download();
        }
        this.#onPulled(digest, sizeBytes);
      } finally {
        await release?.();
      }
    } finally {
      leave();
    }
  }

  /** Waits until this download may run. */
  async #slot(signal: AbortSignal): Promise<() => void> {
    if (this.#freeSlots > 0) this.#freeSlots -= 1;
    else {
      let take = () => {};
      const turn = new Promise<void>((resolve) => {
        take = resolve;
      });
      this.#queue.push(take);
      try {
        await unlessAborted(turn, signal);
      } catch (caught) {
        const at = this.#queue.indexOf(take);
        // Its turn had come at the same moment: the next one gets it.
        if (at < 0) this.#freeSlot();
        else this.#queue.splice(at, 1);
        throw caught;
      }
    }
    return () => this.#freeSlot();
  }

  #freeSlot(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#freeSlots += 1;
    else next();
  }
}

async function* stoppable(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    yield chunk;
  }
}
