// A checkpoint as blobs: what a task names it by, and where its bytes come from.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts';
import { type BlobSource, readChunks } from '../../shared/blobs/blob-source.ts';
import type { BlobStore } from '../../shared/blobs/blob-store.ts';
import { digestFile } from '../../shared/blobs/file-digest.ts';
import type { BlobRef } from '../../shared/rpc/protocol.ts';
import type { ModelFiles } from '../workers/local-cluster.ts';

export interface ModelBlobs {
  readonly config: ModelConfig;
  /** How a task names it. */
  readonly ref: { configJson: string; weights: BlobRef[] };
  readonly blobs: readonly BlobSource[];
}

/** Where weight files go before tasks name them, so that workers need not be sent each a copy. */
export interface WeightPlace {
  /** @param file absolute path of a file that no longer changes. @param sha256 of it, where it is known. */
  place(file: string, sha256?: string): Promise<BlobSource>;
}

/** The blob folder that local workers share with the command: a link is enough. */
export function localWeights(store: BlobStore): WeightPlace {
  return {
    async place(file, sha256) {
      const { digest, sizeBytes } =
        sha256 === undefined ? await digestFile(file) : { digest: sha256, sizeBytes: (await stat(file)).size };
      await store.link(file, digest);
      return { digest, sizeBytes, open: () => readChunks(file) };
    },
  };
}

/** Names a checkpoint's weight files and puts them where workers find them. @param sha256 of its only file, where it is known. */
export async function modelBlobs(checkpoint: Checkpoint, weights: WeightPlace, sha256?: string): Promise<ModelBlobs> {
  const blobs: BlobSource[] = [];
  for (const file of checkpoint.weightFiles) blobs.push(await weights.place(path.resolve(file.path), sha256));
  return { config: checkpoint.config, ref: { configJson: checkpoint.configText, weights: blobs.map(blobRef) }, blobs };
}

/** A checkpoint where it lies, for workers of this machine: the model that tasks name by `modelBlobs`. */
export async function modelFiles({ configText, weightFiles }: Checkpoint): Promise<ModelFiles> {
  const weights: { digest: string; path: string }[] = [];
  for (const file of weightFiles) {
    const { digest } = await digestFile(file.path);
    weights.push({ digest, path: path.resolve(file.path) });
  }
  return { configJson: configText, weights };
}

export function blobRef({ digest, sizeBytes }: BlobSource): BlobRef {
  return { digest, sizeBytes };
}
