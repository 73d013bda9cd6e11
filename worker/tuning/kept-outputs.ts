// What a teacher's sub-layers add to their inputs, kept on the device for the students that come after: all steps of gradual
// pruning have one teacher.
import { elementCount } from '../../shared/tensor.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';

interface Kept {
  readonly key: string;
  readonly tensor: DeviceTensor;
}

export class KeptOutputs {
  private readonly engine: Engine;
  private readonly byKey = new Map<string, DeviceTensor>();
  private readonly order: Kept[] = [];
  /** Of all that is kept. */
  bytes = 0;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** It stays this object's. */
  get(key: string): DeviceTensor | undefined {
    return this.byKey.get(key);
  }

  /** Takes a float32 tensor over from whichever scope has it. */
  put(key: string, tensor: DeviceTensor): void {
    this.engine.keep([tensor]);
    this.byKey.set(key, tensor);
    this.order.push({ key, tensor });
    this.bytes += bytesOf(tensor);
  }

  /** Releases those that came last until at most so many bytes are left: each step asks for all in the same order, so that
   * those that stay are found each time. */
  shrinkTo(bytes: number): void {
    while (this.bytes > bytes) this.release(this.order.pop()!);
  }

  /** Releases all whose keys begin otherwise. */
  dropOthers(prefix: string): void {
    const own = this.order.filter(({ key }) => key.startsWith(prefix));
    for (const kept of this.order) if (!kept.key.startsWith(prefix)) this.release(kept);
    this.order.splice(0, this.order.length, ...own);
  }

  clear(): void {
    this.shrinkTo(0);
  }

  private release({ key, tensor }: Kept): void {
    this.byKey.delete(key);
    this.bytes -= bytesOf(tensor);
    this.engine.dispose(tensor);
  }
}

/** Of a float32 tensor. */
export function bytesOf({ shape }: DeviceTensor): number {
  return elementCount(shape) * Float32Array.BYTES_PER_ELEMENT;
}
