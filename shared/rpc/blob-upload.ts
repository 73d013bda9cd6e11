// Brings blobs to a worker before the tasks that name them: asks which are missing, sends those, each once.

import type { BlobSource } from '../blobs/blob-source.ts';
import { EspalierError } from '../errors.ts';
import { unlessAborted } from './abort.ts';
import { drained } from './back-pressure.ts';
import { type BlobsClient, CHUNK_BYTES } from './protocol.ts';
import { fromStatus } from './status.ts';

const FIND_TIMEOUT_MS = 20_000;
const PUT_TIMEOUT_MS = 60_000;
/** The slowest upload that is still waited for. */
const MIN_BYTES_PER_MS = 1_000;

/** Uploads to one start of one worker. Remembers what is there; a worker that evicts a blob says so when a task names
 * it, and `forget` makes the next `ensure` send it again. */
export class BlobUploader {
  readonly #client: BlobsClient;
  readonly #peer: string;
  readonly #onSent: (bytes: number) => void;
  /** Blobs that are there, or are on their way. */
  readonly #known = new Map<string, Promise<void>>();

  /** @param onSent told of the bytes of each blob that was sent. */
  constructor(client: BlobsClient, peer: string, onSent: (bytes: number) => void = () => {}) {
    this.#client = client;
    this.#peer = peer;
    this.#onSent = onSent;
  }

  /** Resolves when all of these are there. An upload that other callers wait for goes on when `signal` aborts.
   * @throws EspalierError of the first one that failed. */
  async ensure(blobs: readonly BlobSource[], signal?: AbortSignal): Promise<void> {
    const unknown = blobs.filter(({ digest }) => !this.#known.has(digest));
    if (unknown.length > 0) {
      const missing = this.#findMissing(unknown.map(({ digest }) => digest));
      for (const blob of unknown) this.#start(blob, missing);
    }
    const waits = blobs.map(({ digest }) => this.#known.get(digest));
    await unlessAborted(Promise.all(waits), signal);
  }

  forget(digests: readonly string[]): void {
    for (const digest of digests) this.#known.delete(digest);
  }

  #start(blob: BlobSource, missing: Promise<Set<string>>): void {
    const { digest } = blob;
    const upload = missing.then(async (digests) => {
      if (digests.has(digest)) await this.#put(blob);
    });
    this.#known.set(digest, upload);
    upload.catch(() => {
      if (this.#known.get(digest) === upload) this.#known.delete(digest);
    });
  }

  #findMissing(digests: readonly string[]): Promise<Set<string>> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + FIND_TIMEOUT_MS;
      this.#client.findMissing({ digests: [...digests] }, { deadline }, (error, response) => {
        if (response === undefined) reject(fromStatus(error, this.#peer));
        else resolve(new Set(response.digests));
      });
    });
  }

  async #put(blob: BlobSource): Promise<void> {
    const { digest, sizeBytes } = blob;
    const deadline = Date.now() + PUT_TIMEOUT_MS + sizeBytes / MIN_BYTES_PER_MS;
    let answered = false;
    let settle: (error: unknown) => void = () => {};
    const answer = new Promise<unknown>((resolve) => {
      settle = resolve;
    });
    const call = this.#client.put({ deadline }, (error) => {
      answered = true;
      settle(error);
    });
    try {
      call.write({ header: { digest, sizeBytes } });
      for await (const part of blob.open()) {
        if (answered) break;
        for (let start = 0; start < part.byteLength && !answered; start += CHUNK_BYTES)
          if (!call.write({ chunk: part.subarray(start, start + CHUNK_BYTES) })) await drained(call).catch(() => {});
      }
      call.end();
    } catch (caught) {
      call.cancel();
      throw new EspalierError('blob_corrupt', `${digest}: cannot be read again: ${String(caught)}`, { cause: caught });
    }
    const error = await answer;
    this.#onSent(sizeBytes);
    if (error !== null && error !== undefined) throw fromStatus(error, this.#peer);
  }
}
