// How far a transfer is: one line on a terminal, drawn over; elsewhere a line every ten seconds. Whoever makes one closes it.
import { formatBytes } from '../../shared/quantities.ts';
import { CLEAR_LINE, canDrawOver, PLAIN_LINE_MS, REDRAW_MS, timeLeft, type ViewOptions } from './terminal.ts';

export interface ByteProgressOptions extends ViewOptions {
  readonly quiet: boolean;
  /** "uploaded": what was done to the bytes. */
  readonly verb: string;
}

export class ByteProgress {
  readonly #options: ByteProgressOptions;
  readonly #isLive: boolean;
  readonly #startedMs: number;
  #bytes = 0;
  #totalBytes = 0;
  #drawnMs: number;
  #isDrawn = false;

  constructor(options: ByteProgressOptions) {
    this.#options = options;
    this.#isLive = canDrawOver(options);
    this.#startedMs = options.now();
    this.#drawnMs = this.#startedMs;
  }

  /** There are so many more bytes to do. */
  expect(bytes: number): void {
    this.#totalBytes += bytes;
  }

  /** So many more bytes are done; fewer than none where some must be done again. */
  add(bytes: number): void {
    this.#bytes += bytes;
    const { now, quiet } = this.#options;
    const nowMs = now();
    if (quiet || nowMs - this.#drawnMs < (this.#isLive ? REDRAW_MS : PLAIN_LINE_MS)) return;
    this.#drawnMs = nowMs;
    const text = `${this.#options.verb} ${formatBytes(this.#bytes)} of ${formatBytes(this.#totalBytes)}`;
    const line = text + timeLeft(nowMs - this.#startedMs, this.#bytes, this.#totalBytes);
    this.#options.sink.write(this.#isLive ? CLEAR_LINE + line : `${line}\n`);
    this.#isDrawn = this.#isLive;
  }

  /** Wipes the live line; harmless when called again. */
  close(): void {
    if (this.#isDrawn) this.#options.sink.write(CLEAR_LINE);
    this.#isDrawn = false;
  }
}
