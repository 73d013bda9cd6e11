// A folder that lives as long as a test, and the check of an error's code and text.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ErrorCode, EspalierError } from '../../../shared/errors.ts';

/** Makes a folder with these files, removed after the test. */
export async function temporaryFolder(
  test: TestContext,
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-dataset-'));
  test.after(() => rm(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

/** A check for assert.throws and assert.rejects: the code, and a part of the message. */
export function failsWith(code: ErrorCode, part: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof EspalierError, String(error));
    assert.equal(error.code, code);
    assert.ok(error.message.includes(part), `message: ${error.message}`);
    assert.ok(!error.line.includes('\n'));
    return true;
  };
}
