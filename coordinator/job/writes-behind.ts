// What stages have found, stored while the next ones compute: one after the other, in the order in which the stages ended, so that none
// is ever stored without those before it. Once a write has failed nothing more is written.

export class WritesBehind {
  #last: Promise<void> = Promise.resolve();
  readonly #named = new Map<string, Promise<void>>();
  #failure: { readonly cause: unknown } | null = null;

  /** Writes when all that was added before is there. @param name of what is written; null: nobody asks for it by `written`.
   * @throws what an earlier write has thrown. */
  add(name: string | null, write: () => Promise<void>): void {
    if (this.#failure !== null) throw this.#failure.cause;
    const own = this.#last.then(write);
    this.#last = own;
    if (name !== null) this.#named.set(name, own);
    own
      .catch((cause) => {
        this.#failure ??= { cause };
      })
      .finally(() => {
        if (name !== null && this.#named.get(name) === own) this.#named.delete(name);
      });
  }

  /** Resolves when nothing of this name is being written any more, well or badly. */
  async written(name: string): Promise<void> {
    await this.#named.get(name)?.catch(() => {});
  }

  /** Resolves when all that was added so far is there. @throws what a write threw. */
  settled(): Promise<void> {
    return this.#last;
  }
}
