// The Blobs service: takes in what tasks will name.
import type { ServerReadableStream } from '@grpc/grpc-js';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { PutRequest__Output } from '../../shared/rpc/generated/espalier/v1/PutRequest.ts';
import type { BlobsHandlers } from '../../shared/rpc/protocol.ts';
import { toStatus } from '../../shared/rpc/status.ts';
import type { WorkerObserver } from '../worker-observer.ts';

const MAX_DIGESTS = 4096;
const MAX_PUTS = 16;

export function blobsService(blobs: BlobStore, observer: WorkerObserver): BlobsHandlers {
  let puts = 0;
  return {
    FindMissing: (call, callback) => {
      const { digests } = call.request;
      const answer = async () => {
        if (digests.length > MAX_DIGESTS)
          throw new EspalierError('protocol', `got ${digests.length} digests, expected at most ${MAX_DIGESTS}`);
        return { digests: await blobs.missing(digests) };
      };
      answer().then(
        (response) => callback(null, response),
        (caught) => callback(toStatus(caught)),
      );
    },
    Put: (call, callback) => {
      puts += 1;
      store(call, blobs, observer, puts)
        .then(
          () => callback(null, {}),
          (caught) => callback(toStatus(caught)),
        )
        .finally(() => {
          puts -= 1;
        });
    },
  };
}

async function store(
  call: ServerReadableStream<PutRequest__Output, unknown>,
  blobs: BlobStore,
  observer: WorkerObserver,
  puts: number,
): Promise<void> {
  if (puts > MAX_PUTS) throw new EspalierError('worker_busy', `got a blob while ${MAX_PUTS} others are coming in`);
  const messages = (call as AsyncIterable<PutRequest__Output>)[Symbol.asyncIterator]();
  const first = await messages.next();
  const header = first.done ? null : first.value.header;
  if (!header) throw new EspalierError('protocol', 'got a blob without a header');
  const { digest, sizeBytes } = header;
  // Sent by two coordinators at once, or twice by one that was cut off: the content is the same.
  await blobs.put(digest, sizeBytes, chunksOf(call, messages));
  observer.addBytes('received', sizeBytes);
}

async function* chunksOf(
  call: { readonly cancelled: boolean },
  messages: AsyncIterator<PutRequest__Output>,
): AsyncIterable<Uint8Array> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    if (!next.value.chunk) throw new EspalierError('protocol', 'got a second header, expected a chunk');
    yield next.value.chunk;
  }
  if (call.cancelled) throw new EspalierError('cancelled', 'the sender went away');
}
