// The frame of a benchmark: however it ends, its folder is gone.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';

const FRAME = new URL('../../bench/run-bench.js', import.meta.url).href;

/** @param body of the benchmark. @returns its folder, when it has said that it goes on from there. */
async function started(t: TestContext, body: string) {
  const text = `
    import { writeFileSync } from 'node:fs';
    import { runBench } from ${JSON.stringify(FRAME)};
    await runBench('frame', () => ({}), async (settings, folder) => {
      writeFileSync(folder + '/file', '');
      await new Promise((resolve) => process.stdout.write(folder + '\\n', resolve));
      ${body}
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const ended = once(child, 'close').then(([code]) => ({ code, errors }));
  const [chunk] = await once(child.stdout, 'data');
  const folder = String(chunk).trim();
  assert.ok(folder.startsWith(path.join(tmpdir(), 'espalier-bench-frame-')));
  return { child, folder, ended };
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  test(`${signal} ends it with 130, and its folder is gone`, async (t) => {
    const { child, folder, ended } = await started(t, 'setInterval(() => {}, 1000); await new Promise(() => {});');
    assert.ok(existsSync(`${folder}/file`));
    child.kill(signal);
    const { code, errors } = await ended;
    assert.deepEqual([code, existsSync(folder)], [130, false]);
    assert.match(errors, new RegExp(`^\\[cancelled\\] interrupted by ${signal}`));
  });

test('its own end and a failure leave no folder either', async (t) => {
  for (const [body, isFailing] of [
    ['', false],
    ['throw new Error("failed");', true],
  ] as const) {
    const { folder, ended } = await started(t, body);
    const { code } = await ended;
    assert.equal(code !== 0, isFailing);
    assert.ok(!existsSync(folder));
  }
});
