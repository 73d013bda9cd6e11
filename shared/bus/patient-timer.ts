// A timer for answers from a socket. A loop that stood still runs its timers before it reads its sockets, so an answer that
// has long arrived would count as late: the timer gives the loop time to read before it calls.

/** For the loop to read what has come. */
const READ_MS = 250;

export class PatientTimer {
  readonly #timeoutMs: number;
  readonly #onLate: () => void;
  #timer: NodeJS.Timeout;

  constructor(timeoutMs: number, onLate: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onLate = onLate;
    this.#timer = this.#start();
  }

  /** Begins anew. */
  refresh(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = setTimeout(this.#onLate, READ_MS);
    }, this.#timeoutMs);
  }
}
