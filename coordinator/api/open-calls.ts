// How many calls are open, so that a server that drains knows when it may go. Questions for health and reflection, which
// may stay open for good, do not count.
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';

export class OpenCalls {
  #count = 0;
  readonly #waiting: (() => void)[] = [];

  readonly interceptor: ServerInterceptor = (method, call) => {
    if (!method.path.startsWith('/espalier.')) return new ServerInterceptingCall(call);
    this.#count += 1;
    let isOpen = true;
    const end = () => {
      if (!isOpen) return;
      isOpen = false;
      this.#count -= 1;
      if (this.#count === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    };
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: end }),
      sendStatus(status, next) {
        next(status);
        end();
      },
    });
  };

  /** Resolves when none is open. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#count === 0) resolve();
      else this.#waiting.push(resolve);
    });
  }
}
