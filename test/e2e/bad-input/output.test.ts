// Folders that cannot be written: one clear line, its exit code, and nothing is left.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { QUICK_SECONDS } from '../../support/mistakes.ts';
import { assertFailed, openWorkspace } from '../../support/run-cli.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';

const workspace = await openWorkspace();
const data = workspace.path('data.jsonl');

before(async () => {
  await writeToyModel(workspace.path('model'));
  await writeRows(data, toyRows('sentence', { count: 5 }));
});

async function expectUnwritable(out: string, texts: readonly string[], env?: NodeJS.ProcessEnv): Promise<void> {
  const words = ['prune', workspace.path('model'), '--data', data, '--budget', '0.5', '--out', out];
  const finished = await workspace.run(words, env);
  assertFailed(finished, 'output_unwritable', ...texts);
  assert.ok(finished.seconds < QUICK_SECONDS, `took ${finished.seconds} s`);
}

describe('output', () => {
  test('under a file', () => expectUnwritable(`${data}/out`, [`${data}/out`]));

  test('in a folder that may not be written', async (t) => {
    if (process.getuid?.() === 0) return t.skip('root may write anywhere');
    await mkdir(workspace.path('closed'), { mode: 0o555 });
    const out = workspace.path('closed/out');
    await expectUnwritable(out, [out]);
  });

  test('a cache folder that cannot be used', async () => {
    for (const cache of [data, '/proc/espalier']) {
      const texts = [`${cache}/espalier/blobs: the cache folder`, 'set XDG_CACHE_HOME'];
      await expectUnwritable(workspace.path('out'), texts, { XDG_CACHE_HOME: cache });
    }
  });

  test('where the kernel lets nobody write', () => expectUnwritable('/proc/espalier/out', ['/proc/espalier/out']));
});
