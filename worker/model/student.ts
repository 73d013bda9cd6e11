// A student as tasks are told it: masks, and refitted projections in place of the dense model's (worker.proto,
// MaskSet).
import type { Masks } from '../../pruning/masks.ts';
import type { Patch, PatchPlace } from '../../pruning/patch.ts';
import type { DevicePatch } from './device-patch.ts';

/** A patch by its content. */
export interface PatchName extends PatchPlace {
  /** Its digest, or its own where it was fitted here (FittedNames). */
  readonly name: string;
}

/** One that is read when it is needed: most are on the device already. */
export interface PatchSource extends PatchName {
  /** @throws EspalierError "protocol" for content of another form, "not_finite". */
  load(): Promise<Patch>;
}

/** One that was fitted here. */
export interface FittedPatch extends PatchName {
  /** It stays whoever's who fitted it. */
  readonly fitted: DevicePatch;
}

/** A pruned model relative to its dense one. */
export interface Student {
  readonly masks: Masks;
  /** At most one of a sub-layer's inputs, and one of its output. */
  readonly patches: readonly (PatchSource | FittedPatch)[];
}

/** One whose patches can be read. */
export interface StoredStudent extends Student {
  readonly patches: readonly PatchSource[];
}

/** Its patches, all of them in memory. @throws EspalierError of `PatchSource.load`. */
export async function loadPatches({ patches }: StoredStudent): Promise<Patch[]> {
  const loaded: Patch[] = [];
  for (const patch of patches) loaded.push(await patch.load());
  return loaded;
}
