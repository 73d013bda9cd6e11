// Large tensors of a task's result on their way into a file, checked as they come: the memory that they take is that of a
// chunk, however large they are and however many workers answer at once.
import { EspalierError } from '../../shared/errors.ts';
import type { TensorSink } from '../../shared/rpc/tensor-stream.ts';
import { ARRAYS, areFinite } from './result-tensor.ts';

/** Where one tensor goes. */
export interface SinkTarget {
  readonly dtype: keyof typeof ARRAYS;
  /** Elements that it must have. */
  readonly length: number;
  /** @param bytes whole elements, the first of which is element `at` of the tensor. */
  write(bytes: Uint8Array, at: number): Promise<void>;
}

/** A sink for these tensors of one try; others stay in its result.
 * @param task its id, for messages.
 * @throws EspalierError, from the sink, "protocol" when one is missing or of another type or size, "not_finite" for a
 * number that is not finite. */
export function resultSink(task: string, targets: Readonly<Record<string, SinkTarget>>): TensorSink {
  const missing = new Set(Object.keys(targets));
  return {
    open({ name, dtype, shape }) {
      if (!missing.delete(name)) return null;
      const target = targets[name];
      const length = shape.reduce((product, size) => product * size, 1);
      if (dtype !== target.dtype || length !== target.length)
        throw new EspalierError(
          'protocol',
          `${task}: ${name}: got ${dtype} of ${length} elements, expected ${target.dtype} of ${target.length}`,
        );
      return async (elements, at) => {
        if (!(elements instanceof ARRAYS[target.dtype]))
          throw new EspalierError('internal', `${task}: ${name}: got ${dtype}`);
        if (!areFinite(elements)) {
          const bad = elements.findIndex((value) => !Number.isFinite(value));
          const got = `got ${elements[bad]}, expected a finite number`;
          throw new EspalierError('not_finite', `${task}: ${name} ${at + bad}: ${got}`);
        }
        await target.write(new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength), at);
      };
    },
    end() {
      for (const name of missing) {
        const { dtype, length } = targets[name];
        throw new EspalierError('protocol', `${task}: ${name}: got nothing, expected ${dtype} of ${length}`);
      }
    },
  };
}
