// TensorFlow's binding with some of its calls replaced, to count them, to time them or to let them fail.
import type { TensorflowBinding } from '../../worker/engine/binding.ts';
import { INT32 } from '../../worker/engine/engine.ts';

/** Whether a new tensor of this type goes to the device: TensorFlow keeps those of int32 in the host's memory. */
export function goesUp(dtype: number): boolean {
  return dtype !== INT32;
}

/** @param replaced calls in place of the binding's, whose own properties cannot be overwritten. */
export function bindingWith(real: TensorflowBinding, replaced: Partial<TensorflowBinding>): TensorflowBinding {
  const own = Object.entries(replaced).map(([name, value]) => [name, { value }]);
  return Object.create(real, Object.fromEntries(own)) as TensorflowBinding;
}
