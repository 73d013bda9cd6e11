// Sends content as chunks, a few on their way at a time, in buffers that are used again: memory grows neither with the
// content nor with the number of uploads. What is sent is no object until `object-bucket.ts` says so.
import { createHash } from 'node:crypto';
import { EspalierError } from '../errors.ts';
import type { JetStream } from './jet-stream.ts';
import { CHUNK_BYTES, chunkSubject } from './object-layout.ts';

/** Chunks of one upload that are on their way. */
const WINDOW = 8;
/** Chunks of all uploads of a connection that are on their way. Whatever else it has to say waits behind them: with more,
 * a coordinator's small requests come too late. */
const WINDOW_OF_ALL = 16;

/** Monotonic milliseconds, the same in all threads of a process. */
export function uploadClockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** What the uploads of one connection share. */
export class UploadWindow {
  readonly #jetStream: JetStream;
  readonly #free: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  #underway = 0;

  constructor(jetStream: JetStream) {
    this.#jetStream = jetStream;
  }

  buffer(bytes: number): Buffer {
    const free = this.#free.pop();
    return free?.byteLength === bytes ? free : Buffer.allocUnsafeSlow(bytes);
  }

  /** Stores a chunk when it has its turn. @param buffer that it lies in, which is free afterwards.
   * @param isWanted asked then. @returns its sequence; null: it is no longer wanted. */
  async send(subject: string, chunk: Uint8Array, buffer: Buffer, isWanted: () => boolean): Promise<number | null> {
    if (this.#underway < WINDOW_OF_ALL) this.#underway += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      if (!isWanted()) return null;
      const { seq } = await this.#jetStream.store(subject, chunk);
      if (this.#free.length < WINDOW_OF_ALL) this.#free.push(buffer);
      return seq;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#underway -= 1;
      else next();
    }
  }
}

/** Sends content of this size. @param expected its digest; null: not known yet.
 * @returns the number of chunks, the digest, and when the last chunk was sent.
 * @throws EspalierError "blob_corrupt", "store_full", "bus_unavailable", or what `content` threw. */
export async function sendChunks(
  window: UploadWindow,
  upload: string,
  expected: { readonly digest: string | null; readonly sizeBytes: number; readonly mostChunkBytes: number },
  content: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<{ readonly chunks: number; readonly digest: string; readonly lastMs: number }> {
  const { sizeBytes, mostChunkBytes } = expected;
  const label = expected.digest ?? 'new object';
  // Of small content the buffer is as small.
  const sender = new ChunkSender(window, upload, Math.min(mostChunkBytes, sizeBytes));
  const hash = createHash('sha256');
  let sentBytes = 0;
  try {
    for await (const piece of content) {
      if (signal?.aborted) throw new EspalierError('cancelled', `${label}: interrupted`, { cause: signal.reason });
      sentBytes += piece.byteLength;
      if (sentBytes > sizeBytes)
        throw new EspalierError('blob_corrupt', `${label}: got more than the announced ${sizeBytes} bytes`);
      hash.update(piece);
      await sender.add(piece);
    }
    await sender.end();
  } finally {
    await sender.settled();
  }
  if (sentBytes !== sizeBytes)
    throw new EspalierError('blob_corrupt', `${label}: got ${sentBytes} bytes, expected ${sizeBytes}`);
  const digest = hash.digest('hex');
  if (digest !== (expected.digest ?? digest))
    throw new EspalierError('blob_corrupt', `${label}: got content with digest ${digest}`);
  return { chunks: sender.count, digest, lastMs: sender.lastMs };
}

/** The chunks of one upload, in order. */
export class ChunkSender {
  readonly #window: UploadWindow;
  readonly #subject: string;
  readonly #chunkBytes: number;
  readonly #underway: Promise<void>[] = [];
  #buffer: Buffer | null = null;
  #filledBytes = 0;
  #lastSequence = 0;
  #problem: unknown = null;
  count = 0;
  /** Monotonic. */
  lastMs = uploadClockMs();

  /** @param mostChunkBytes what one message may hold. */
  constructor(window: UploadWindow, upload: string, mostChunkBytes: number) {
    this.#window = window;
    this.#subject = chunkSubject(upload);
    this.#chunkBytes = Math.max(1, Math.min(CHUNK_BYTES, mostChunkBytes));
  }

  /** Sends what fills chunks. The bytes are the caller's again when it resolves. @throws what a chunk met on its way. */
  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) {
      this.#buffer ??= this.#window.buffer(this.#chunkBytes);
      const taken = Math.min(bytes.byteLength - at, this.#chunkBytes - this.#filledBytes);
      this.#buffer.set(bytes.subarray(at, at + taken), this.#filledBytes);
      this.#filledBytes += taken;
      at += taken;
      if (this.#filledBytes === this.#chunkBytes) await this.#flush();
    }
  }

  /** Resolves when all chunks are stored. @throws as `add` does. */
  async end(): Promise<void> {
    await this.#flush();
    await this.settled();
    if (this.#problem !== null) throw this.#problem;
  }

  /** Sends the chunk being filled, when there is room for it on the way. */
  async #flush(): Promise<void> {
    const buffer = this.#buffer;
    if (buffer === null || this.#filledBytes === 0) return;
    if (this.#underway.length >= WINDOW) await this.#underway.shift();
    if (this.#problem !== null) throw this.#problem;
    const chunk = buffer.subarray(0, this.#filledBytes);
    this.#buffer = null;
    this.#filledBytes = 0;
    this.count += 1;
    this.lastMs = uploadClockMs();
    this.#underway.push(this.#send(chunk, buffer));
  }

  /** Resolves when none is on its way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underway.splice(0));
  }

  async #send(chunk: Uint8Array, buffer: Buffer): Promise<void> {
    try {
      const seq = await this.#window.send(this.#subject, chunk, buffer, () => this.#problem === null);
      if (seq === null) return;
      // Answers come in the order of sending, unless a chunk had to be sent again: readers take them by sequence.
      if (seq <= this.#lastSequence)
        throw new EspalierError('bus_unavailable', `${this.#subject}: the connection was lost between chunks`);
      this.#lastSequence = seq;
    } catch (caught) {
      this.#problem ??= caught;
    }
  }
}
