// A student as it travels: masks, and its refitted output projections by digest.
import type { Masks } from '../../pruning/masks.ts';
import { type SubLayerPlace, stepOf } from '../../pruning/sub-layers.ts';
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import type { MaskSet } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import { maskSet } from './mask-set.ts';
import { blobRef } from './model-blobs.ts';

/** The patch of one sub-layer, as a blob (worker.proto). */
export interface PatchBlob extends SubLayerPlace {
  readonly source: BlobSource;
}

/** A pruned model relative to its dense one. */
export interface Student {
  readonly masks: Masks;
  /** At most one a sub-layer, in the order in which sub-layers run. */
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
    patches: patches.map(({ layer, subLayer, source }) => ({ layer, subLayer, blob: blobRef(source) })),
  };
}

export function studentBlobs({ patches }: Student): BlobSource[] {
  return patches.map(({ source }) => source);
}

/** The student with one more patch, in place of what its sub-layer had. */
export function withPatch({ masks, patches }: Student, patch: PatchBlob): Student {
  const others = patches.filter(({ layer, subLayer }) => layer !== patch.layer || subLayer !== patch.subLayer);
  return {
    masks,
    patches: [...others, patch].sort((a, b) => stepOf(a.layer, a.subLayer) - stepOf(b.layer, b.subLayer)),
  };
}
