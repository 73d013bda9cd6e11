// Patches out of their blobs, for whoever writes a student's model.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type Patch, patchFromTensors, patchName, patchSizes } from '../../pruning/patch.ts';
import { decodeSafetensors } from '../../shared/safetensors.ts';
import type { PatchBlob } from './student.ts';

/** One after the other. @throws EspalierError "protocol", "not_finite" for a blob that is no patch of this model. */
export async function readPatches(patches: readonly PatchBlob[], config: ModelConfig): Promise<Patch[]> {
  const read: Patch[] = [];
  for (const { layer, subLayer, part, source } of patches) {
    const bytes = new Uint8Array(source.sizeBytes);
    let offset = 0;
    for await (const chunk of source.open()) {
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
    const place = { layer, subLayer, part };
    const { tensors } = decodeSafetensors(bytes, patchName(place));
    read.push(patchFromTensors(tensors, place, patchSizes(config, subLayer)));
  }
  return read;
}
