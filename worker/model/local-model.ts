// A checkpoint whose weight files lie on this machine, and how a worker opens it.
import { type Checkpoint, openCheckpointFiles } from '../../checkpoint/open-checkpoint.ts';

export interface LocalModel {
  readonly configJson: string;
  readonly weights: readonly { readonly digest: string; readonly path: string }[];
}

/** What goes to the device is read of this; whoever opened it closes it. */
export type ModelSource = Pick<Checkpoint, 'config' | 'shape' | 'tensorSync' | 'close'>;

const LABEL_LENGTH = 12;

/** Opens it; whoever does closes it. @param name what messages call it; left out: by the digest of its first file.
 * @throws EspalierError when its files cannot be read. */
export function openLocalModel({ configJson, weights }: LocalModel, name?: string): Promise<Checkpoint> {
  const files = weights.map(({ path, digest }) => ({ path, label: digest.slice(0, LABEL_LENGTH) }));
  return openCheckpointFiles(configJson, files, `model ${name?.slice(0, LABEL_LENGTH) ?? files[0]?.label ?? ''}`);
}
