// Waiting for a stream that is full.
import type { Writable } from 'node:stream';
import { EspalierError } from '../errors.ts';

/** Resolves when the stream takes more, and rejects with "cancelled" when it never will. */
export function drained(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => () => {
      stream.off('drain', onDrain);
      for (const event of LAST_EVENTS) stream.off(event, onLast);
      finish();
    };
    const onDrain = settle(resolve);
    const onLast = settle(() => reject(new EspalierError('cancelled', 'the peer went away')));
    stream.on('drain', onDrain);
    for (const event of LAST_EVENTS) stream.on(event, onLast);
  });
}

// "cancelled" is gRPC's, on the server's side of a call; "status" its last event on the client's side.
const LAST_EVENTS = ['cancelled', 'status', 'error', 'close'];
