// A pause that can be cut short.

export class WakeUp {
  #isAsked = false;
  #resolve: (() => void) | null = null;

  /** Ends the pause, or the next one when none is under way. */
  wake(): void {
    this.#isAsked = true;
    this.#resolve?.();
  }

  async wait(timeoutMs: number): Promise<void> {
    if (!this.#isAsked)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#resolve = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.#isAsked = false;
    this.#resolve = null;
  }
}
