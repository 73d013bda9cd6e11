// A pruned model written by a thread of a cluster's coordinator: into a scratch folder, and into the object store on the way.
import { openCheckpoint, type WeightDType } from '../../checkpoint/open-checkpoint.ts';
import { type PrunedLayout, writePrunedCheckpoint } from '../../checkpoint/write-pruned.ts';
import type { Masks } from '../../pruning/masks.ts';
import type { Patch } from '../../pruning/patch.ts';
import type { SentContent } from '../../shared/bus/bus.ts';
import { ObjectUpload, type RemoteUpload } from '../../shared/bus/object-upload.ts';

export interface WriteCall {
  /** Folder of the dense model. */
  readonly model: string;
  readonly masks: Masks;
  readonly dtype: WeightDType;
  readonly directory: string;
  readonly layout: PrunedLayout;
  readonly patches: readonly Patch[];
  /** Where the weights go as well; left out: nowhere. */
  readonly upload?: RemoteUpload;
}

export interface WrittenWeights {
  readonly bytes: number;
  readonly sha256: string;
  /** Of the upload. */
  readonly sent?: Pick<SentContent, 'chunks' | 'lastMs'>;
}

/** See `writePrunedCheckpoint`. */
export async function writeModel(call: WriteCall): Promise<WrittenWeights> {
  const { model, masks, dtype, directory, layout, patches } = call;
  const source = await openCheckpoint(model);
  try {
    const upload = call.upload && (await ObjectUpload.open(call.upload));
    try {
      const options = { isScratch: true, ...(upload && { also: (bytes: Uint8Array) => upload.write(bytes) }) };
      const { bytes, sha256 } = await writePrunedCheckpoint(source, masks, dtype, directory, layout, patches, options);
      return { bytes, sha256, ...(upload && { sent: await upload.end() }) };
    } finally {
      await upload?.close();
    }
  } finally {
    await source.close();
  }
}
