// Something on the device that many tasks in a row ask for: it is kept until something else is.
import type { DeviceTensor, Engine } from '../engine/engine.ts';

export class Latest<T> {
  private readonly engine: Engine;
  private readonly tensorsOf: (value: T) => readonly DeviceTensor[];
  private held: { readonly key: string; readonly value: T } | null = null;

  /** @param tensorsOf what is released with a value. */
  constructor(engine: Engine, tensorsOf: (value: T) => readonly DeviceTensor[]) {
    this.engine = engine;
    this.tensorsOf = tensorsOf;
  }

  /** The value under a key, which names it by content. @param make its tensors may belong to a scope. */
  get(key: string, make: () => T): T {
    if (this.held?.key !== key) {
      this.release();
      const value = make();
      this.engine.keep(this.tensorsOf(value));
      this.held = { key, value };
    }
    return this.held.value;
  }

  release(): void {
    for (const tensor of this.held === null ? [] : this.tensorsOf(this.held.value)) this.engine.dispose(tensor);
    this.held = null;
  }
}
