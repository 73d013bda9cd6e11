// Where the project's files that are not compiled lie: protos, the Python loader, fixtures.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EspalierError } from './errors.ts';

let found: string | undefined;

/** The folder that holds the project's package.json, whether this file runs from the source or from dist/.
 * @throws EspalierError "internal" when no folder above this file holds it. */
export function projectRoot(): string {
  found ??= search(dirname(fileURLToPath(import.meta.url)));
  return found;
}

function search(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: unknown }).name === 'espalier')
      return folder;
    if (folder === dirname(folder))
      throw new EspalierError('internal', `${start}: got no package.json of espalier in it or above, expected one`);
  }
}
