// Sends content as chunks, a few on their way at a time, in buffers that are used again: memory does not grow with the
// content. What is sent is no object until `object-bucket.ts` says so.
import { createHash } from 'node:crypto';
import { EspalierError } from '../errors.ts';
import type { JetStream } from './jet-stream.ts';
import { CHUNK_BYTES, chunkSubject } from './object-layout.ts';

/** Chunks that are on their way. */
const WINDOW = 8;

/** Sends content of this size and digest. @returns the number of chunks, and when the last one was sent.
 * @throws EspalierError "blob_corrupt", "store_full", "bus_unavailable", or what `content` threw. */
export async function sendChunks(
  jetStream: JetStream,
  upload: string,
  expected: { readonly digest: string; readonly sizeBytes: number },
  content: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<{ readonly count: number; readonly lastMs: number }> {
  const { digest, sizeBytes } = expected;
  const sender = new Sender(jetStream, chunkSubject(upload));
  const hash = createHash('sha256');
  const chunkBytes = Math.min(CHUNK_BYTES, jetStream.link.maxPayloadBytes - 1024);
  let sentBytes = 0;
  try {
    for await (let piece of content) {
      if (signal?.aborted) throw new EspalierError('cancelled', `${digest}: interrupted`, { cause: signal.reason });
      sentBytes += piece.byteLength;
      if (sentBytes > sizeBytes)
        throw new EspalierError('blob_corrupt', `${digest}: got more than the announced ${sizeBytes} bytes`);
      hash.update(piece);
      while (piece.byteLength > 0) piece = await sender.add(piece, chunkBytes);
    }
    await sender.flush();
    await sender.allArrived();
  } finally {
    await sender.settled();
  }
  if (sentBytes !== sizeBytes)
    throw new EspalierError('blob_corrupt', `${digest}: got ${sentBytes} bytes, expected ${sizeBytes}`);
  const got = hash.digest('hex');
  if (got !== digest) throw new EspalierError('blob_corrupt', `${digest}: got content with digest ${got}`);
  return { count: sender.count, lastMs: sender.lastMs };
}

class Sender {
  readonly #jetStream: JetStream;
  readonly #subject: string;
  readonly #free: Buffer[] = [];
  readonly #underway: Promise<void>[] = [];
  #buffer: Buffer | null = null;
  #filledBytes = 0;
  #lastSequence = 0;
  #problem: unknown = null;
  count = 0;
  /** Monotonic. */
  lastMs = performance.now();

  constructor(jetStream: JetStream, subject: string) {
    this.#jetStream = jetStream;
    this.#subject = subject;
  }

  /** Takes what fits into the chunk being filled. @returns the rest. */
  async add(piece: Uint8Array, chunkBytes: number): Promise<Uint8Array> {
    this.#buffer ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
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
      const { seq } = await this.#jetStream.store(this.#subject, chunk);
      // Answers come in the order of sending, unless a chunk had to be sent again: readers take them by sequence.
      if (seq <= this.#lastSequence)
        throw new EspalierError('bus_unavailable', `${this.#subject}: the connection was lost between chunks`);
      this.#lastSequence = seq;
      this.#free.push(buffer);
    } catch (caught) {
      this.#problem ??= caught;
    }
  }
}
