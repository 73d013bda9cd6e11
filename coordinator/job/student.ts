// A student as it travels: masks, and its refitted projections by digest.
import type { Masks } from '../../pruning/masks.ts';
import type { PatchPlace } from '../../pruning/patch.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import type { MaskSet } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import { maskSet } from './mask-set.ts';
import { blobRef } from './model-blobs.ts';

/** A patch as a blob (worker.proto). */
export interface PatchBlob extends PatchPlace {
  readonly source: BlobSource;
}

/** A pruned model relative to its dense one. */
export interface Student {
  readonly masks: Masks;
  /** At most one of a sub-layer's inputs and one of its output, in the order in which they run. */
  readonly patches: readonly PatchBlob[];
}

/** A student without refitted projections: the model under masks. */
export function maskedStudent(masks: Masks): Student {
  return { masks, patches: [] };
}

/** A student in a request; its blobs go with the task (`studentBlobs`). */
export function studentSet({ masks, patches }: Student): MaskSet {
  return {
    ...maskSet(masks),
    patches: patches.map(({ layer, subLayer, part, source }) => ({
      ...{ layer, subLayer, blob: blobRef(source) },
      ...(part === 'input' && { part }),
    })),
  };
}

export function studentBlobs({ patches }: Student): BlobSource[] {
  return patches.map(({ source }) => source);
}

/** The student with one more patch, in place of what these projections were. */
export function withPatch({ masks, patches }: Student, patch: PatchBlob): Student {
  const place = orderOf(patch);
  const others = patches.filter((other) => orderOf(other) !== place);
  return { masks, patches: [...others, patch].sort((a, b) => orderOf(a) - orderOf(b)) };
}

function orderOf({ layer, subLayer, part }: PatchPlace): number {
  return 2 * stepOf(layer, subLayer) + (part === 'output' ? 1 : 0);
}
