// How a page of Espalier's is known again, so that nothing else is ever replaced by one.
import { open } from 'node:fs/promises';

export const PAGE_FILE = 'report.html';

/** What the first bytes of each page are. */
export const PAGE_MARK = '<!doctype html>\n<html lang="en" data-espalier="report">\n';

/** Whether a file is a page that Espalier wrote; null: there is none. */
export async function isOwnPage(file: string): Promise<boolean | null> {
  const handle = await open(file, 'r').catch((caught: NodeJS.ErrnoException) => {
    if (caught.code === 'ENOENT') return null;
    throw caught;
  });
  if (handle === null) return null;
  try {
    if (!(await handle.stat()).isFile()) return false;
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(PAGE_MARK.length), 0, PAGE_MARK.length, 0);
    return buffer.toString('utf8', 0, bytesRead) === PAGE_MARK;
  } finally {
    await handle.close();
  }
}
