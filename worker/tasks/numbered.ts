// Tensors of a task that finds several things of one kind, one after the other.
import type { NamedTensor } from '../../shared/tensor.ts';

/** Those of the `at`-th: "weight" of the first, "1.weight" of the second, and so on, as worker.proto has them. */
export function numbered(tensors: readonly NamedTensor[], at: number): NamedTensor[] {
  return tensors.map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` }));
}
