// What workers answer, checked before it is used: a worker may run elsewhere and be anybody's.
import { EspalierError } from '../../shared/errors.ts';
import type { TaskResult } from '../workers/task-spec.ts';

export const ARRAYS = { F32: Float32Array, F64: Float64Array } as const;
type Arrays = { F32: Float32Array; F64: Float64Array };

/** The numbers of one tensor of a task's result.
 * @param task its id, for messages.
 * @throws EspalierError "protocol" when it is missing or of another type or size, "not_finite" for a number that is
 * not finite. */
export function resultTensor<D extends keyof Arrays>(
  result: TaskResult,
  task: string,
  name: string,
  expected: { readonly dtype: D; readonly length: number },
): Arrays[D] {
  const tensor = result.get(name);
  const { dtype, length } = expected;
  if (!(tensor?.data instanceof ARRAYS[dtype]) || tensor.data.length !== length)
    throw new EspalierError(
      'protocol',
      `${task}: ${name}: got ${tensor ? `${tensor.dtype} of ${tensor.data.length} elements` : 'nothing'}, expected ${dtype} of ${length}`,
    );
  if (!areFinite(tensor.data)) {
    const at = tensor.data.findIndex((value) => !Number.isFinite(value));
    throw new EspalierError('not_finite', `${task}: ${name} ${at}: got ${tensor.data[at]}, expected a finite number`);
  }
  return tensor.data as Arrays[D];
}

// Millions of numbers a job, on the thread that all jobs share: a product with 0 is 0 (or -0), or not a number.
export function areFinite(values: Float32Array | Float64Array): boolean {
  let sum = 0;
  for (let at = 0; at < values.length; at += 1) sum += values[at] * 0;
  return sum === 0;
}
