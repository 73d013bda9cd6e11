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
  const sender = new Sender(window, chunkSubject(upload));
  const hash = createHash('sha256');
  // Of small content the buffer is as small.
  const chunkBytes = Math.max(1, Math.min(CHUNK_BYTES, mostChunkBytes, sizeBytes));
  let sentBytes = 0;
  try {
    for await (let piece of content) {
      if (signal?.aborted) throw new EspalierError('cancelled', `${label}: interrupted`, { cause: signal.reason });
      sentBytes += piece.byteLength;
      if (sentBytes > sizeBytes)
        throw new EspalierError('blob_corrupt', `${label}: got more than the announced ${sizeBytes} bytes`);
      hash.update(piece);
      while (piece.byteLength > 0) piece = await sender.add(piece, chunkBytes);
    }
    await sender.flush();
    await sender.allArrived();
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

class Sender {
  readonly #window: UploadWindow;
  readonly #subject: string;
  readonly #underway: Promise<void>[] = [];
  #buffer: Buffer | null = null;
  #filledBytes = 0;
  #lastSequence = 0;
  #problem: unknown = null;
  count = 0;
  /** Monotonic. */
  lastMs = performance.now();

  constructor(window: UploadWindow, subject: string) {
    this.#window = window;
    this.#subject = subject;
  }

  /** Takes what fits into the chunk being filled. @returns the rest. */
  async add(piece: Uint8Array, chunkBytes: number): Promise<Uint8Array> {
    this.#buffer ??= this.#window.buffer(chunkBytes);
    const taken = Math.min(piece.byteLength, chunkBytes - this.#filledBytes);
    this.#buffer.set(piece.subarray(0, taken), this.#filledBytes);
    this.#filledBytes += taken;
    if (this.#filledBytes === chunkBytes) await this.flush();
    return piece.subarray(taken);
  }

  /** Sends the chunk being filled, when there is room for it on the way. */
  async flush(): Promise<void> {
    const buffer = this.#buffer;
    if (buffer === null || this.#filledBytes === 0) return;
    if (this.#underway.length >= WINDOW) await this.#underway.shift();
    if (this.#problem !== null) throw this.#problem;
    const chunk = buffer.subarray(0, this.#filledBytes);
    this.#buffer = null;
    this.#filledBytes = 0;
    this.count += 1;
    this.lastMs = performance.now();
    this.#underway.push(this.#send(chunk, buffer));
  }

  async allArrived(): Promise<void> {
    await this.settled();
    if (this.#problem !== null) throw this.#problem;
  }

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
