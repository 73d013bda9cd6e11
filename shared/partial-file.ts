// The name under which a file is written aside before it is renamed. It says whose it is, so that what a killed process left
// beside its target is found and removed by whoever writes there next.
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { formatIdentity, identityOf, livenessOf, parseIdentity } from './process-identity.ts';

const ENDING = '.partial';

/** Where this process writes `file` aside, in the same folder. */
export function partialPath(file: string): string {
  return `${file}.${formatIdentity(identityOf())}${ENDING}`;
}

/** Removes what processes that have ended left of `file`; other files, and those of processes that live or cannot be seen from
 * here, stay. A folder that is missing has none. */
export async function removeAbandonedPartials(file: string): Promise<void> {
  const [folder, start] = [dirname(file), `${basename(file)}.`];
  const names = await readdir(folder).catch((caught: NodeJS.ErrnoException) => {
    if (caught.code === 'ENOENT') return [];
    throw caught;
  });
  for (const name of names) {
    if (!name.startsWith(start) || !name.endsWith(ENDING)) continue;
    const owner = parseIdentity(name.slice(start.length, -ENDING.length));
    if (owner !== null && livenessOf(owner) === 'dead') await rm(join(folder, name), { force: true });
  }
}
