// Asks for disk space before it is needed.
import { statfs } from 'node:fs/promises';
import { EspalierError } from '../../shared/errors.ts';

/** @param label what the message calls the folder. @throws EspalierError "disk_full" when fewer than `bytes` are free. */
export async function requireFreeSpace(folder: string, bytes: number, label: string = folder): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new EspalierError('disk_full', `${label}: needs ${megabytes(bytes)} MB, ${megabytes(free)} MB are free`);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
