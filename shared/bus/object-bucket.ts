// Blobs in NATS, by digest.
//
// An object: absent → sending (chunks that nothing names) → there → absent. The message that names an upload is the only
// thing that makes it an object, and the server takes it only when nobody was faster; the same check lets a deletion
// pass by an object that was asked for again meanwhile. What a process that died leaves behind are chunks that nothing
// names: `removeOrphans`.
import { checkDigest } from '../blobs/digest.ts';
import { EspalierError } from '../errors.ts';
import { within } from '../lifecycle.ts';
import type { ObjectBucket, SentContent, StoredObject, StoreUsage, UploadPlan } from './bus.ts';
import type { JetStream } from './jet-stream.ts';
import {
  CHUNK_BYTES,
  chunkSubject,
  decodeInfo,
  encodeInfo,
  newUpload,
  type ObjectInfo,
  objectSubject,
} from './object-layout.ts';
import { listAtLeader, listObjects, listUploads } from './object-list.ts';
import { readChunks } from './object-reader.ts';
import { sendChunks, UploadWindow, uploadClockMs } from './object-writer.ts';
import { streamUsage } from './stream-usage.ts';
import { OBJECTS_STREAM } from './streams.ts';

// An object that is put again counts as new, so that whoever collects old ones leaves it; not more often than this, by this
// process's own clock: that of the server may be another.
const REFRESH_MS = 60_000;
const MOST_REMEMBERED = 10_000;
/** An upload whose last chunk is older than this is not made an object: `removeOrphans` may be about to remove its chunks. */
const MOST_STILL_MS = 600_000;
/** Kept free, so that a full store can still take the marks of what is deleted. */
const RESERVE_BYTES = 256 * 1024;
const MOST_RESERVED = 1 / 50;
/** With so much free nobody looks for room for a single chunk for so long. */
const PLENTY_BYTES = 1e9;
const PLENTY_MS = 1_000;
const DELETED_SECONDS = 3_600;
const TRIES = 8;
/** After a replica gave wrong bytes. */
const DISTRUST_MS = 600_000;
// Longest that a reader waits until a damaged object is gone.
const DROP_MS = 2_000;

interface Found {
  readonly info: ObjectInfo | null;
  /** Of the message that says so; 0: there is none. */
  readonly sequence: number;
  readonly storedAt: Date;
}

export class NatsObjectBucket implements ObjectBucket {
  readonly #jetStream: JetStream;
  /** Objects that this process has made new: the sequence that it gave them, and when. Oldest first. */
  readonly #renewed = new Map<string, { readonly sequence: number; readonly atMs: number }>();
  readonly #window: UploadWindow;
  /** When there was last seen to be more room than small objects take until somebody looks again. */
  #plentyMs = Number.NEGATIVE_INFINITY;
  /** Until when the leader alone is read from, after another replica gave what it should not. */
  #leaderUntilMs = Number.NEGATIVE_INFINITY;

  constructor(jetStream: JetStream) {
    this.#jetStream = jetStream;
    this.#window = new UploadWindow(jetStream);
  }

  async find(digest: string): Promise<StoredObject | null> {
    const { info, storedAt } = await this.#newest(digest);
    return info && { digest, sizeBytes: info.sizeBytes, storedAt };
  }

  async keep(digest: string): Promise<StoredObject | null> {
    const { info, storedAt } = await this.#renew(digest, await this.#newest(digest));
    return info && { digest, sizeBytes: info.sizeBytes, storedAt };
  }

  async now(): Promise<Date> {
    return new Date((await this.#jetStream.api<{ ts: string }>(`STREAM.INFO.${OBJECTS_STREAM}`)).ts);
  }

  async put(digest: string, sizeBytes: number, chunks: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    checkSize(digest, sizeBytes);
    const before = await this.#newest(digest);
    requireSize(before.info, sizeBytes);
    const { info: there, sequence } = await this.#renew(digest, before);
    requireSize(there, sizeBytes);
    if (there !== null) return;
    await this.#checkRoom(digest, sizeBytes);
    const info = await this.#upload(digest, sizeBytes, chunks, signal);
    // From here on a failure may mean that the object is there: its chunks stay until it is known that nothing names them.
    const isOurs = await this.#name(info, sequence);
    if (!isOurs) await this.#removeChunks(info.upload);
  }

  async add(sizeBytes: number, chunks: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<string> {
    checkSize('new object', sizeBytes);
    await this.#checkRoom('new object', sizeBytes);
    return this.#nameNew(await this.#upload(null, sizeBytes, chunks, signal));
  }

  async addSent(sizeBytes: number, send: (plan: UploadPlan) => Promise<SentContent>): Promise<string> {
    checkSize('new object', sizeBytes);
    await this.#checkRoom('new object', sizeBytes);
    return this.#nameNew(await this.#sent(sizeBytes, send));
  }

  /** @returns its digest. */
  async #nameNew(info: ObjectInfo): Promise<string> {
    const { sizeBytes } = info;
    // Most content that is made here is new.
    for (let after = 0; ; ) {
      if (await this.#name(info, after)) return info.digest;
      const { info: there, sequence } = await this.#renew(info.digest, await this.#newest(info.digest));
      requireSize(there, sizeBytes);
      if (there !== null) break;
      after = sequence;
    }
    await this.#removeChunks(info.upload);
    return info.digest;
  }

  async #upload(
    digest: string | null,
    sizeBytes: number,
    content: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<ObjectInfo> {
    return this.#sent(sizeBytes, ({ upload, mostChunkBytes }) =>
      sendChunks(this.#window, upload, { digest, sizeBytes, mostChunkBytes }, content, signal),
    );
  }

  async #sent(sizeBytes: number, send: (plan: UploadPlan) => Promise<SentContent>): Promise<ObjectInfo> {
    const upload = newUpload();
    try {
      const { lastMs, ...sent } = await send({ upload, mostChunkBytes: this.#mostChunkBytes });
      if (uploadClockMs() - lastMs > MOST_STILL_MS)
        throw new EspalierError('bus_unavailable', `${sent.digest}: its upload stood still for too long`);
      return { upload, sizeBytes, ...sent };
    } catch (caught) {
      await this.#removeChunks(upload).catch(() => {});
      throw caught;
    }
  }

  get #mostChunkBytes(): number {
    return this.#jetStream.link.maxPayloadBytes - 1024;
  }

  async *open(digest: string, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const { info } = await this.#newest(digest);
    if (info === null) throw new EspalierError('blob_missing', `${digest}: not in the object store`);
    const isThere = async () => (await this.#newest(digest)).info?.upload === info.upload;
    const source = performance.now() < this.#leaderUntilMs ? 'leader' : 'any';
    try {
      yield* readChunks(this.#jetStream, info, source, isThere, signal);
    } catch (caught) {
      if (!(caught instanceof EspalierError) || caught.code !== 'blob_corrupt') throw caught;
      if (source === 'any' && (await this.#isWholeAtLeader(info, isThere, signal))) {
        this.#leaderUntilMs = performance.now() + DISTRUST_MS;
        throw new EspalierError('bus_unavailable', `${digest}: a replica of NATS gave other bytes than the leader`, {
          cause: caught,
          action: 'try again: the leader is asked next; see `nats stream report` for replicas that lag or are damaged',
        });
      }
      // While it is there, nobody would store the right bytes: whoever has them would find the name taken.
      await within(this.#dropDamaged(info), DROP_MS);
      throw caught;
    }
  }

  /** Nothing is deleted for what one replica has. @throws EspalierError "blob_missing", "bus_unavailable", "cancelled". */
  async #isWholeAtLeader(info: ObjectInfo, isThere: () => Promise<boolean>, signal?: AbortSignal): Promise<boolean> {
    try {
      for await (const _ of readChunks(this.#jetStream, info, 'leader', isThere, signal));
      return true;
    } catch (caught) {
      if (caught instanceof EspalierError && caught.code === 'blob_corrupt') return false;
      throw caught;
    }
  }

  async *list(): AsyncGenerator<StoredObject, void, undefined> {
    for await (const { info, storedAt } of listObjects(this.#jetStream))
      yield { digest: info.digest, sizeBytes: info.sizeBytes, storedAt };
  }

  async delete(digest: string, storedBefore?: Date): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const { info, sequence, storedAt } = await this.#newest(digest);
      if (info === null || (storedBefore !== undefined && storedAt >= storedBefore)) return false;
      if (await this.#deleteVersion(info, sequence)) return true;
    }
    return false;
  }

  /** @returns false when another message names the object now. */
  async #deleteVersion(info: ObjectInfo, sequence: number): Promise<boolean> {
    const headers = { 'Nats-Rollup': 'sub', 'Nats-TTL': `${DELETED_SECONDS}s` };
    const subject = objectSubject(info.digest);
    const mark = await this.#jetStream.storeAfter(subject, encodeInfo(info, true), sequence, headers);
    if (mark === null) return false;
    await this.#removeChunks(info.upload);
    return true;
  }

  async removeOrphans(olderThanMs: number): Promise<number> {
    const { uploads, now } = await listUploads(this.#jetStream);
    for await (const { info } of listObjects(this.#jetStream)) uploads.delete(info.upload);
    for (const upload of uploads) {
      const last = await this.#jetStream.newest(OBJECTS_STREAM, chunkSubject(upload));
      // Both times are the server's.
      if (last === null || now.getTime() - last.time.getTime() < olderThanMs) uploads.delete(upload);
    }
    // A replica that lags may not have the name of an object that was renewed between two pages of the list.
    if (uploads.size > 0) for await (const { upload } of listAtLeader(this.#jetStream)) uploads.delete(upload);
    for (const upload of uploads) await this.#removeChunks(upload);
    return uploads.size;
  }

  /** Deletes what this upload has made, unless it was replaced meanwhile. Whoever may only read leaves it to others. */
  async #dropDamaged({ digest, upload }: ObjectInfo): Promise<void> {
    const { info, sequence } = await this.#newest(digest);
    if (info === null || info.upload !== upload) return;
    await this.#deleteVersion(info, sequence);
  }

  usage(): Promise<StoreUsage> {
    return streamUsage(this.#jetStream, OBJECTS_STREAM);
  }

  async #newest(digest: string): Promise<Found> {
    const found = await this.#jetStream.newest(OBJECTS_STREAM, objectSubject(checkDigest(digest)));
    if (found === null) return { info: null, sequence: 0, storedAt: new Date(0) };
    const info = decodeInfo(found.data);
    return { info: info?.digest === digest ? info : null, sequence: found.sequence, storedAt: found.time };
  }

  /** Makes an object that is there count as new. @returns what is there then. */
  async #renew(digest: string, found: Found): Promise<Found> {
    const { info, sequence } = found;
    const known = this.#renewed.get(digest);
    const isNew = known?.sequence === sequence && performance.now() - known.atMs < REFRESH_MS;
    if (info === null || isNew) return found;
    const renewed = await this.#store(info, sequence);
    // Another one was faster: the object is gone, or new.
    return renewed === null ? this.#newest(digest) : { ...found, sequence: renewed };
  }

  /** Makes an upload an object. @returns false when another upload of the same content was faster. */
  async #name(info: ObjectInfo, sequence: number): Promise<boolean> {
    for (let tries = 0, after = sequence; tries < TRIES; tries += 1) {
      if ((await this.#store(info, after)) !== null) return true;
      const other = await this.#newest(info.digest);
      if (other.info !== null) return false;
      after = other.sequence;
    }
    throw new EspalierError('bus_unavailable', `${info.digest}: changed ${TRIES} times while it was stored`);
  }

  async #store(info: ObjectInfo, after: number): Promise<number | null> {
    const atMs = performance.now();
    const subject = objectSubject(info.digest);
    const sequence = await this.#jetStream.storeAfter(subject, encodeInfo(info), after, { 'Nats-Rollup': 'sub' });
    this.#renewed.delete(info.digest);
    if (sequence === null) return null;
    this.#renewed.set(info.digest, { sequence, atMs });
    if (this.#renewed.size > MOST_REMEMBERED) this.#renewed.delete(this.#renewed.keys().next().value!);
    return sequence;
  }

  async #checkRoom(digest: string, sizeBytes: number): Promise<void> {
    if (sizeBytes <= CHUNK_BYTES && performance.now() - this.#plentyMs < PLENTY_MS) return;
    const { bytes, limitBytes } = await this.usage();
    if (bytes + PLENTY_BYTES <= limitBytes) this.#plentyMs = performance.now();
    const usableBytes = limitBytes - Math.min(RESERVE_BYTES, Math.floor(limitBytes * MOST_RESERVED));
    if (bytes + sizeBytes <= usableBytes) return;
    if (sizeBytes > usableBytes)
      throw new EspalierError(
        'limit_exceeded',
        `${digest}: got ${sizeBytes} bytes, the whole store has ${usableBytes}`,
      );
    const leftBytes = Math.max(0, usableBytes - bytes);
    throw new EspalierError(
      'store_full',
      `${digest}: got ${sizeBytes} bytes, the store has room for ${leftBytes} of its ${usableBytes}`,
    );
  }

  async #removeChunks(upload: string): Promise<void> {
    await this.#jetStream.api(`STREAM.PURGE.${OBJECTS_STREAM}`, { filter: chunkSubject(upload) });
  }
}

function requireSize(info: ObjectInfo | null, sizeBytes: number): void {
  if (info !== null && info.sizeBytes !== sizeBytes)
    throw new EspalierError(
      'blob_corrupt',
      `${info.digest}: got ${sizeBytes} bytes, ${info.sizeBytes} are stored under this name`,
    );
}

function checkSize(label: string, sizeBytes: number): void {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw new EspalierError('protocol', `${label}: got a size of ${sizeBytes} bytes`);
}
