// TensorFlow's binding with some of its calls replaced, to count them, to time them or to let them fail.
import type { TensorflowBinding } from '../../worker/engine/binding.ts';

/** @param replaced calls in place of the binding's, whose own properties cannot be overwritten. */
export function bindingWith(real: TensorflowBinding, replaced: Partial<TensorflowBinding>): TensorflowBinding {
  const own = Object.entries(replaced).map(([name, value]) => [name, { value }]);
  return Object.create(real, Object.fromEntries(own)) as TensorflowBinding;
}
