// What a search may keep where a model is pruned already, and what it must: docs/adr/0028-gradual.md. The searches themselves
// are search.ts, knapsack.ts and uniform.ts.
import { EspalierError } from '../shared/errors.ts';
import { descending } from './descending.ts';
import type { Importance } from './fisher.ts';
import type { Masks } from './masks.ts';

/** The variables of a search, as indices of the whole model, in the order in which they are kept. */
export interface SearchOrder {
  /** Guarded heads first; each part by falling importance. */
  readonly heads: Int32Array;
  readonly neurons: Int32Array;
  /** How many of the heads are guarded. */
  readonly guarded: number;
}

/** Variables by falling importance, the lower layer, then the lower index, first where it is equal.
 * @param remaining what may be kept; the most important head that each of its layers still has is guarded: it goes before
 * all heads that are not. A layer that has none has no guard. Left out: everything may be, nothing is guarded.
 * @throws EspalierError "shape_mismatch", or "not_finite" when an importance is not finite. */
export function searchOrder(importance: Importance, remaining?: Masks): SearchOrder {
  const heads = descending(importance.heads);
  const neurons = descending(importance.neurons);
  if (remaining === undefined) return { heads, neurons, guarded: 0 };
  checkRemaining(importance, remaining);
  const isLeft = (mask: Uint8Array) => (index: number) => mask[index] === 1;
  const guards = new Set<number>();
  const guardedLayers = new Set<number>();
  for (const head of heads.filter(isLeft(remaining.headMask))) {
    const layer = Math.floor(head / remaining.heads);
    if (!guardedLayers.has(layer)) guards.add(head);
    guardedLayers.add(layer);
  }
  const others = heads.filter((head) => remaining.headMask[head] === 1 && !guards.has(head));
  return {
    heads: Int32Array.of(...guards, ...others),
    neurons: neurons.filter(isLeft(remaining.neuronMask)),
    guarded: guards.size,
  };
}

/** Variables that rearrangement may exchange: 1 may, 0 stays as it is. */
export type OpenVariables = Pick<Masks, 'headMask' | 'neuronMask'>;

/** All that remains but for the guarded heads. @throws as `searchOrder`. */
export function openVariables(importance: Importance, remaining: Masks): OpenVariables {
  const { heads, guarded } = searchOrder(importance, remaining);
  const headMask = remaining.headMask.slice();
  for (const head of heads.subarray(0, guarded)) headMask[head] = 0;
  return { headMask, neuronMask: remaining.neuronMask };
}

/** @throws EspalierError "shape_mismatch". */
function checkRemaining(importance: Importance, { headMask, neuronMask }: Masks): void {
  if (headMask.length !== importance.heads.length || neuronMask.length !== importance.neurons.length)
    throw new EspalierError(
      'shape_mismatch',
      `remaining: got ${headMask.length} heads and ${neuronMask.length} neurons, ` +
        `expected ${importance.heads.length} and ${importance.neurons.length}`,
    );
}
