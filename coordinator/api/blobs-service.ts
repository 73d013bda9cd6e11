// The Blobs service of a coordinator: takes the inputs of jobs into the object store. Nothing of an upload that broke, or
// whose content is not what its digest says, can be seen or stays.
import type { ServerReadableStream } from '@grpc/grpc-js';
import { checkDigest } from '../../shared/blobs/digest.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import type { PutRequest__Output } from '../../shared/rpc/generated/espalier/v1/PutRequest.ts';
import type { BlobsHandlers } from '../../shared/rpc/protocol.ts';
import { toStatus } from '../../shared/rpc/status.ts';
import { requireRoom } from '../jobs/require-room.ts';
import { Places, unary } from './answer.ts';
import { LARGEST_FILE_BYTES, MOST_DIGESTS, MOST_UPLOADS, ROOM_FOR_NEW } from './limits.ts';

type PutCall = ServerReadableStream<PutRequest__Output, unknown>;

export interface BlobsServiceParts {
  readonly objects: Bus['objects'];
  /** Aborted when the server closes. */
  readonly stopped: AbortSignal;
  readonly log: Log;
  /** How long an upload may send nothing. */
  readonly silenceMs: number;
}

export function blobsService(parts: BlobsServiceParts): BlobsHandlers {
  const { objects, log } = parts;
  const places = new Places(MOST_UPLOADS, 'uploads');
  return {
    FindMissing: unary(log, 'Blobs.FindMissing', async ({ digests }) => {
      if (digests.length > MOST_DIGESTS)
        throw new EspalierError('limit_exceeded', `got ${digests.length} digests, expected at most ${MOST_DIGESTS}`);
      const found = new Map<string, boolean>();
      for (const digest of digests) if (!found.has(digest)) found.set(digest, await isThere(objects, digest));
      return { digests: [...found].flatMap(([digest, there]) => (there ? [] : [digest])) };
    }),
    Put: (call, callback) => {
      places
        .hold(() => store(call, parts))
        .then(
          () => callback(null, {}),
          (caught) => callback(toStatus(caught)),
        );
    },
  };
}

async function isThere(objects: Bus['objects'], digest: string): Promise<boolean> {
  // Who is told that it is there does not send it, and needs it until the submit.
  return (await objects.keep(checkDigest(digest))) !== null;
}

async function store(call: PutCall, { objects, stopped, silenceMs }: BlobsServiceParts) {
  const gone = new AbortController();
  call.on('cancelled', () => gone.abort(new EspalierError('cancelled', 'the sender went away')));
  const signal = AbortSignal.any([gone.signal, stopped]);
  const messages = new Messages(call, signal, silenceMs);
  const header = (await messages.next())?.header;
  if (!header) throw new EspalierError('protocol', 'got a blob without a header');
  const { digest, sizeBytes } = header;
  checkDigest(digest);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > LARGEST_FILE_BYTES)
    throw new EspalierError(
      'limit_exceeded',
      `${digest}: got ${sizeBytes} bytes, expected at most ${LARGEST_FILE_BYTES}`,
    );
  await requireRoom(objects, ROOM_FOR_NEW, sizeBytes);
  // Sent by two clients at once, or twice by one that was cut off: the content is the same.
  await objects.put(digest, sizeBytes, chunksOf(messages), signal);
}

/** Messages of a call, one at a time: the client is held back while the store takes in what came. */
class Messages {
  readonly #iterator: AsyncIterator<PutRequest__Output>;
  readonly #signal: AbortSignal;
  readonly #silenceMs: number;

  constructor(call: PutCall, signal: AbortSignal, silenceMs: number) {
    this.#iterator = (call as AsyncIterable<PutRequest__Output>)[Symbol.asyncIterator]();
    this.#signal = signal;
    this.#silenceMs = silenceMs;
  }

  /** The next message, or null at the end. @throws EspalierError "deadline" when none comes, the signal's reason. */
  async next(): Promise<PutRequest__Output | null> {
    this.#signal.throwIfAborted();
    let give: (error: unknown) => void = () => {};
    const given = new Promise<never>((_, reject) => {
      give = reject;
    });
    const onAbort = () => give(this.#signal.reason);
    const silence = new EspalierError(
      'deadline',
      `got nothing for ${this.#silenceMs / 1000} s, expected the next chunk`,
    );
    const timer = setTimeout(() => give(silence), this.#silenceMs);
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      const next = await Promise.race([this.#iterator.next(), given]);
      // The end of a stream that was cut looks like any other end.
      this.#signal.throwIfAborted();
      return next.done ? null : next.value;
    } finally {
      clearTimeout(timer);
      this.#signal.removeEventListener('abort', onAbort);
    }
  }
}

async function* chunksOf(messages: Messages): AsyncIterable<Uint8Array> {
  for (let message = await messages.next(); message !== null; message = await messages.next()) {
    if (!message.chunk) throw new EspalierError('protocol', 'got a second header, expected a chunk');
    yield message.chunk;
  }
}
