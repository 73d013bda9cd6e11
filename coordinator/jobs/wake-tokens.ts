// Keeps as many wake tokens as there are unfinished jobs, none of them bound to its job. Tokens that are missing or left
// over cost waiting, nothing else.
import type { WakeQueue, WakeToken } from '../../shared/bus/bus.ts';
import { inParallel } from './in-parallel.ts';

/** A token may come before the watch tells of the job that it was added for. */
const FIRST_PAUSE_MS = 500;
const PAUSE_MS = 5_000;
const MAX_REMEMBERED = 1_000;
const MAX_ADDED = 500;
const PARALLEL = 16;

export class WakeTokens {
  readonly #wake: WakeQueue;
  readonly #declined = new Set<string>();
  #offset = 0;

  constructor(wake: WakeQueue) {
    this.#wake = wake;
  }

  /** What becomes of a token that came while nothing could be claimed: it is left for later, or taken out when there are
   * more tokens than unfinished jobs.
   * @param isKnown whether the index has the job that it was added for. */
  async decline(token: WakeToken, unfinished: number, isKnown: boolean): Promise<void> {
    if (!isKnown && !this.#declined.has(token.id)) {
      if (this.#declined.size >= MAX_REMEMBERED) this.#declined.clear();
      this.#declined.add(token.id);
      await token.giveBack(FIRST_PAUSE_MS);
    } else if ((await this.#wake.count()) > unfinished) {
      this.#declined.delete(token.id);
      await token.done();
    } else await token.giveBack(PAUSE_MS);
  }

  /** Adds tokens where some are missing, a limited number in each call. Adding one that is there does nothing. */
  async repair(unfinished: readonly string[]): Promise<void> {
    const missing = unfinished.length - (await this.#wake.count());
    if (missing <= 0) return;
    const start = this.#offset % unfinished.length;
    const turned = [...unfinished.slice(start), ...unfinished.slice(0, start)].slice(0, MAX_ADDED);
    this.#offset = start + turned.length;
    await inParallel(turned, PARALLEL, (id) => this.#wake.add(id));
  }
}
