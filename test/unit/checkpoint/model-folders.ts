// Models for the tests of this folder: the fixtures, and folders made from parts of them.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Checkpoint, openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { type ErrorCode, EspalierError } from '../../../shared/errors.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

/** A folder of test/fixtures. */
export function fixture(name: string): string {
  return join(projectRoot(), 'test', 'fixtures', name);
}

/** An empty folder that is removed after the test. */
export async function temporaryFolder(test: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-checkpoint-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A copy of a fixture that the test may spoil. */
export async function copyOfFixture(test: TestContext, name: string): Promise<string> {
  const folder = await temporaryFolder(test);
  await cp(fixture(name), folder, { recursive: true });
  return folder;
}

/** Opens a model and closes it after the test. */
export async function openDuring(test: TestContext, folder: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(folder);
  test.after(() => checkpoint.close());
  return checkpoint;
}

export async function readJson<T = Record<string, unknown>>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, 'utf8')) as T;
}

/** Changes fields of a folder's config.json; undefined removes a field. */
export async function changeConfig(folder: string, changes: Record<string, unknown>): Promise<void> {
  const config = await readJson(join(folder, 'config.json'));
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }));
}

/** Replaces a folder's tensors by what `change` makes of them. */
export async function changeTensors(
  folder: string,
  change: (tensors: Map<string, NamedTensor>) => Iterable<NamedTensor>,
): Promise<void> {
  const path = join(folder, 'model.safetensors');
  const { tensors } = decodeSafetensors(await readFile(path), path);
  await writeFile(path, encodeSafetensors([...change(tensors)]));
}

/** For assert.throws and assert.rejects: an EspalierError of this code whose message holds each of the texts. */
export function failure(code: ErrorCode, ...texts: string[]): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof EspalierError)) throw error;
    for (const text of texts)
      if (!error.message.includes(text)) throw new Error(`got "${error.message}", expected it to hold "${text}"`);
    if (error.code !== code) throw new Error(`got code ${error.code} (${error.message}), expected ${code}`);
    return true;
  };
}
