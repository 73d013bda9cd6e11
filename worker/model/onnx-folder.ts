// Folders that ONNX files are written to, to be read at once: named after the process, so that what a killed worker left is
// told from what a living one uses.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isAbandoned } from '../../shared/abandoned.ts';
import { formatIdentity, identityOf, parseIdentity } from '../../shared/process-identity.ts';

const NAME = /^espalier-onnx-(.+)-[^-]+$/;
/** Longer than any task measures. */
const STALE_MS = 3_600_000;

/** Runs `use` with a folder of its own, removed when it has ended. Folders of processes that are gone are removed first. */
export async function withOnnxFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  await removeAbandoned();
  const folder = await mkdtemp(path.join(tmpdir(), `espalier-onnx-${formatIdentity(identityOf())}-`));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = parseIdentity(NAME.exec(name)?.[1] ?? '');
    const folder = path.join(tmpdir(), name);
    if (owner !== null && (await isAbandoned(folder, owner, STALE_MS)))
      await rm(folder, { recursive: true, force: true });
  }
}
