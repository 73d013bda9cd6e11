// A process whose terminal closes without a signal, because it is in another session: it exits with its own code.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../../support/until.ts';

const hasScript = /util-linux/.test(String(spawnSync('script', ['--version']).stdout ?? ''));
const skip = !hasScript && 'no terminal to close: script of util-linux is not here';
const LIFECYCLE = new URL('../../../shared/lifecycle.js', import.meta.url).href;

/** Says that it is there, then ends with 7 when its terminal is gone, which it still writes to. */
const program = (first: string, ready: string) => `
import { writeFileSync } from 'node:fs';
import { isatty } from 'node:tty';
${first}
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
if (!isatty(1)) process.exit(3);
writeFileSync(${JSON.stringify(ready)}, '');
setInterval(() => {
  if (isatty(1)) return;
  process.stdout.write('gone');
  process.stderr.write('gone');
  process.exit(7);
}, 5);
`;

/** @param first lines of the program. @returns what the shell calls the exit of the program. */
async function exitOf(t: TestContext, first: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-terminal-'));
  t.after(() => rm(folder, { recursive: true }));
  const [file, ready, status, part] = ['program.mjs', 'ready', 'status', 'part'].map((name) => path.join(folder, name));
  await writeFile(file, program(first, ready));
  const inner = `"${process.execPath}" "${file}"; echo $? > "${part}"; mv "${part}" "${status}"`;
  const terminal = spawn('script', ['-qfc', `setsid --wait sh -c '${inner}'; :`, '/dev/null'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, SHELL: '/bin/sh' },
  });
  t.after(() => terminal.kill('SIGKILL'));
  await until('the program runs', () => existsSync(ready));
  terminal.kill('SIGKILL');
  await until('the program has ended', () => existsSync(status));
  return readFileSync(status, 'utf8').trim();
}

test('a process that listens for signals exits as it would with its terminal', { skip }, async (t) => {
  const first = `import { onSignals } from ${JSON.stringify(LIFECYCLE)};\nonSignals([], { drain() {}, force() {} });`;
  assert.equal(await exitOf(t, first), '7');
});

test('one that does not is ended by Node', { skip }, async (t) => {
  assert.match(await exitOf(t, ''), /^1(34|39)$/);
});
