// A checkpoint as blobs: what a task names it by, and where its bytes come from.
import path from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts';
import { type BlobSource, blobOfFile } from '../../shared/blobs/blob-source.ts';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import type { BlobRef } from '../../shared/rpc/protocol.ts';

export interface ModelBlobs {
  readonly config: ModelConfig;
  /** How a task names it. */
  readonly ref: { configJson: string; weights: BlobRef[] };
  readonly blobs: readonly BlobSource[];
}

/** Hashes the weight files and puts them into the local workers' blob folder, so that those are not sent a copy. */
export async function modelBlobs(checkpoint: Checkpoint, store: BlobStore): Promise<ModelBlobs> {
  const blobs: BlobSource[] = [];
  for (const file of checkpoint.weightFiles) {
    const blob = await blobOfFile(path.resolve(file.path));
    await store.link(path.resolve(file.path), blob.digest);
    blobs.push(blob);
  }
  return { config: checkpoint.config, ref: { configJson: checkpoint.configText, weights: blobs.map(blobRef) }, blobs };
}

export function blobRef({ digest, sizeBytes }: BlobSource): BlobRef {
  return { digest, sizeBytes };
}
