// A coordinator's threads: calls wait for a free one, first come first served. A thread: idle ⇄ busy with one call → gone,
// when its call was aborted, when it took more memory than it may (only its own call fails), or after a call that is known
// to leave much behind. Threads are started when they are needed and do not keep the process from ending.
import { Worker } from 'node:worker_threads';
import { ERROR_CODES, type ErrorCode, EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { ThreadAnswer, ThreadCallName, ThreadCalls, ThreadRequest } from './thread-calls.ts';

export interface ComputeThreadsOptions {
  /** Threads at the same time. */
  readonly count: number;
  /** Heap of each. */
  readonly heapMegabytes: number;
}

interface Waiting {
  readonly start: () => void;
}

export class ComputeThreads {
  readonly #options: ComputeThreadsOptions;
  readonly #idle: Worker[] = [];
  readonly #waiting: Waiting[] = [];
  #busy = 0;

  constructor(options: ComputeThreadsOptions) {
    this.#options = options;
  }

  /** Threads that compute now. */
  get busy(): number {
    return this.#busy;
  }

  /** Runs one call in a thread. @param options.once ends the thread afterwards, and with it all that it holds.
   * @throws EspalierError of the call, "limit_exceeded" when it needs more memory than a thread has, the signal's reason. */
  async run<Name extends ThreadCallName>(
    name: Name,
    input: ThreadCalls[Name]['input'],
    options: { readonly signal?: AbortSignal; readonly once?: boolean } = {},
  ): Promise<ThreadCalls[Name]['output']> {
    const { signal, once = false } = options;
    await this.#turn(signal);
    const thread = this.#idle.pop() ?? this.#open();
    let isReusable = false;
    try {
      const output = await call(thread, { name, input }, this.#options.heapMegabytes, signal);
      isReusable = !once;
      return output as ThreadCalls[Name]['output'];
    } catch (caught) {
      isReusable = !once && caught instanceof CallFailure;
      throw caught instanceof CallFailure ? caught.error : caught;
    } finally {
      if (isReusable) this.#idle.push(thread);
      else await thread.terminate();
      this.#busy -= 1;
      this.#waiting.shift()?.start();
    }
  }

  /** Ends the idle threads. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((thread) => thread.terminate()));
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#busy >= this.#options.count)
      await new Promise<void>((resolve, reject) => {
        const abort = () => {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          reject(toEspalierError(signal?.reason));
        };
        const waiting: Waiting = {
          start: () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        signal?.addEventListener('abort', abort, { once: true });
        this.#waiting.push(waiting);
      });
    this.#busy += 1;
  }

  #open(): Worker {
    const thread = new Worker(new URL('./compute-thread.js', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#options.heapMegabytes },
    });
    thread.unref();
    // One that is idle has no call to tell.
    thread.on('error', () => {
      const at = this.#idle.indexOf(thread);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return thread;
  }
}

/** The thread answered with an error and can take the next call. */
class CallFailure extends Error {
  readonly error: EspalierError;

  constructor(error: EspalierError) {
    super(error.message);
    this.error = error;
  }
}

async function call(
  thread: Worker,
  request: ThreadRequest,
  heapMegabytes: number,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  let stop = () => {};
  try {
    return await new Promise((resolve, reject) => {
      const onAbort = () => reject(toEspalierError(signal?.reason));
      const onError = (error: Error) => reject(threadError(error, request.name, heapMegabytes));
      const onExit = () => reject(new EspalierError('internal', `${request.name}: the thread ended`));
      const onMessage = (answer: ThreadAnswer) => {
        if (answer.kind === 'done') resolve(answer.output);
        else reject(new CallFailure(errorOf(answer)));
      };
      stop = () => {
        signal?.removeEventListener('abort', onAbort);
        thread.off('error', onError).off('exit', onExit).off('message', onMessage);
        thread.unref();
      };
      thread.ref();
      thread.on('error', onError).on('exit', onExit).on('message', onMessage);
      signal?.addEventListener('abort', onAbort, { once: true });
      thread.postMessage(request);
    });
  } finally {
    stop();
  }
}

function errorOf({ code, message, action, stack }: Extract<ThreadAnswer, { kind: 'failed' }>): EspalierError {
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'internal';
  const error = new EspalierError(known, message, { action });
  if (stack !== undefined) error.stack = stack;
  return error;
}

function threadError(error: Error, name: string, heapMegabytes: number): EspalierError {
  if ((error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY')
    return new EspalierError(
      'limit_exceeded',
      `${name}: got input that takes more than ${heapMegabytes} MB of memory`,
      {
        cause: error,
        action: 'use a smaller data file',
      },
    );
  return toEspalierError(error);
}
