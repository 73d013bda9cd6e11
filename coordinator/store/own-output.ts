// What --force may replace: outputs of earlier runs, never anything that a user has put there.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EspalierError } from '../../shared/errors.ts';
import { isOwnPage, PAGE_FILE } from '../report/page-mark.ts';

/** Files that every budget's folder of an output holds. */
const MARKS = ['config.json', 'masks.json', 'report.json'];

/** @throws EspalierError "output_exists" that names what stands in the way, when `out` is there and is neither empty nor
 * a folder of pruned models and their page alone. */
export async function requireReplaceable(out: string): Promise<void> {
  const found = await stat(out).catch(() => null);
  if (found === null) return;
  if (!found.isDirectory()) refuse(`${out}: got a file`);
  for (const name of await readdir(out)) if (!(await isOwn(join(out, name), name))) refuse(`${out}: got ${name}`);
}

async function isOwn(path: string, name: string): Promise<boolean> {
  return name === PAGE_FILE ? (await isOwnPage(path)) === true : isPrunedModel(path);
}

async function isPrunedModel(folder: string): Promise<boolean> {
  const found = await Promise.all(MARKS.map((name) => stat(join(folder, name)).catch(() => null)));
  return found.every((file) => file?.isFile());
}

function refuse(got: string): never {
  throw new EspalierError('output_exists', `${got}, expected nothing but the output of an earlier run to replace`, {
    action: 'move it away or choose another --out',
  });
}
