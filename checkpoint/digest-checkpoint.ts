// Names a model by its content: the same files give the same digest on every machine, wherever they lie.
import { createHash } from 'node:crypto';
import { digestFile } from '../shared/blobs/file-digest.ts';
import type { Checkpoint } from './open-checkpoint.ts';

export interface CheckpointDigest {
  /** SHA-256 (hexadecimal) of each file of weights, in the order of the checkpoint's weightFiles. */
  readonly files: readonly { name: string; sha256: string; bytes: number }[];
  /** One SHA-256 of the model: its config's text and its files' digests. */
  readonly digest: string;
}

/** Reads all weights once a process, streamed. @param known SHA-256 of files by name, which are not read.
 * @throws errors of the file system as they are. */
export async function digestCheckpoint(
  checkpoint: Checkpoint,
  known: ReadonlyMap<string, string> = new Map(),
): Promise<CheckpointDigest> {
  const files: { name: string; sha256: string; bytes: number }[] = [];
  for (const { path, name, bytes } of checkpoint.weightFiles)
    files.push({ name, sha256: known.get(name) ?? (await digestFile(path)).digest, bytes });
  return {
    files,
    digest: digestModel(
      checkpoint.configText,
      files.map(({ sha256 }) => sha256),
    ),
  };
}

/** The model's digest from its parts, for whoever knows them without reading the files again.
 * @param fileDigests SHA-256 of each file of weights, in order of the files' names. */
export function digestModel(configText: string, fileDigests: readonly string[]): string {
  const configDigest = createHash('sha256').update(configText).digest('hex');
  const lines = ['espalier model 1', `config ${configDigest}`, ...fileDigests.map((sha256) => `weights ${sha256}`)];
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
