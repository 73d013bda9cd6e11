// How handlers of the job API answer: a promise becomes the response, whatever it throws a status. What is wrong with this
// process and not with the request is logged.
import type { handleUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { toStatus } from '../../shared/rpc/status.ts';

/** A handler of calls with one request and one response; its signal aborts when the client has gone. */
export function unary<Request, Response>(
  log: Log,
  method: string,
  handler: (request: Request, traceparent: string | null, signal: AbortSignal) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const [traceparent] = call.metadata.get('traceparent');
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort(new EspalierError('cancelled', 'the client went away')));
    const run = async () => handler(call.request, typeof traceparent === 'string' ? traceparent : null, gone.signal);
    run().then(
      (response) => callback(null, response),
      (caught) => callback(toStatus(logged(log, method, caught))),
    );
  };
}

/** Runs the handler of a call that streams its response; its signal aborts when the client has gone or `stopped` does. */
export function streaming<Request, Response>(
  log: Log,
  method: string,
  stopped: AbortSignal,
  handler: (call: ServerWritableStream<Request, Response>, signal: AbortSignal) => Promise<void>,
): (call: ServerWritableStream<Request, Response>) => void {
  return (call) => {
    const gone = new AbortController();
    // Also a passed deadline arrives as "cancelled".
    call.on('cancelled', () => gone.abort(new EspalierError('cancelled', 'the client went away')));
    handler(call, AbortSignal.any([gone.signal, stopped])).then(
      () => call.end(),
      (caught) => call.emit('error', toStatus(logged(log, method, caught))),
    );
  };
}

/** At most so many at a time of what costs memory. */
export class Places {
  readonly #most: number;
  readonly #what: string;
  #taken = 0;

  constructor(most: number, what: string) {
    this.#most = most;
    this.#what = what;
  }

  /** Holds a place while `work` runs. @throws EspalierError "worker_busy" when there is none. */
  async hold<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#taken >= this.#most)
      throw new EspalierError('worker_busy', `got one more while there are ${this.#most} ${this.#what}`, {
        action: 'try again in a moment',
      });
    this.#taken += 1;
    try {
      return await work();
    } finally {
      this.#taken -= 1;
    }
  }
}

function logged(log: Log, method: string, caught: unknown): EspalierError {
  const error = toEspalierError(caught);
  if (error.code === 'internal') log.error('call failed', { method, error, stack: error.stack });
  return error;
}
