// What processes that were killed have left behind, told from what living ones use.
import { stat } from 'node:fs/promises';
import { livenessOf, type ProcessIdentity } from './process-identity.ts';

/** Whether a file or folder of that process may go. Of a process in another container nothing can be seen, nor of one that
 * ran in this container before it was started again: what they have goes when it was not touched for `staleMs`. */
export async function isAbandoned(file: string, owner: ProcessIdentity, staleMs: number): Promise<boolean> {
  const liveness = livenessOf(owner);
  if (liveness !== 'unknown') return liveness === 'dead';
  const found = await stat(file).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs > staleMs;
}
