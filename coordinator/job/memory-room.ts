// Memory that the jobs of one coordinator share for what must be held as a whole: sums of a sub-layer on their way to the
// worker that solves, and a layer that a thread rearranges. Who does not fit waits, first come first served; who could do
// with less takes what there is. A job takes one share at a time, so that none waits for another that waits for it.
import { toEspalierError } from '../../shared/errors.ts';

export interface MemoryShare {
  readonly bytes: number;
  /** Gives back all but so much. */
  shrink(bytes: number): void;
  /** Gives back the rest; harmless when called again. */
  release(): void;
}

interface Waiting {
  readonly least: number;
  readonly grant: () => void;
}

export class MemoryRoom {
  readonly #bytes: number;
  readonly #waiting: Waiting[] = [];
  #free: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#free = bytes;
  }

  get freeBytes(): number {
    return this.#free;
  }

  /** Takes as much as there is, up to `most`, when `least` is there; what is more than the whole room takes the whole room.
   * @throws the signal's reason. */
  async take(wanted: { readonly least: number; readonly most: number }, signal: AbortSignal): Promise<MemoryShare> {
    signal.throwIfAborted();
    const least = Math.min(wanted.least, this.#bytes);
    if (this.#waiting.length > 0 || least > this.#free)
      await new Promise<void>((resolve, reject) => {
        const abort = () => {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          reject(toEspalierError(signal.reason));
          // It may have stood before one that fits.
          this.#next();
        };
        const waiting: Waiting = {
          least,
          grant: () => {
            signal.removeEventListener('abort', abort);
            resolve();
          },
        };
        signal.addEventListener('abort', abort, { once: true });
        this.#waiting.push(waiting);
      });
    else this.#free -= least;
    // What was waited for is taken already; more goes to those who wait.
    const more = this.#waiting.length > 0 ? 0 : Math.max(0, Math.min(wanted.most, this.#free + least) - least);
    this.#free -= more;
    return this.#share(least + more);
  }

  #share(bytes: number): MemoryShare {
    let held = bytes;
    const shrink = (to: number) => {
      if (to >= held) return;
      this.#free += held - to;
      held = to;
      this.#next();
    };
    return { bytes, shrink, release: () => shrink(0) };
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined && first.least <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= first.least;
      first.grant();
    }
  }
}
