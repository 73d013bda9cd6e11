import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { CHECKOUT, temporaryFolder, writeFiles } from './support.mjs';

const PROGRAM = JSON.stringify(path.join(CHECKOUT, 'setup/program.mjs'));

/** Starts a program that runs `child` in the foreground as the demo runs the command; lines it prints can be awaited. */
function start(t, child, launch = (main) => [process.execPath, [main]]) {
  const folder = temporaryFolder(t);
  writeFiles(folder, {
    'child.mjs': child,
    'main.mjs': `import { runInForeground, runProgram } from ${PROGRAM};
      await runProgram((context) => runInForeground(context, [${JSON.stringify(path.join(folder, 'child.mjs'))}]));`,
  });
  const [file, args] = launch(path.join(folder, 'main.mjs'));
  const program = spawn(file, args, {
    env: { ...process.env, npm_lifecycle_event: 'test' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  return { program, nextLine: async () => (await lines.next()).value };
}

test('a signal that comes twice, from the terminal and from npm, is passed on once', async (t) => {
  const { program, nextLine } = start(
    t,
    `let count = 0;
     process.on('SIGINT', () => { count += 1; if (count === 1) setTimeout(() => { console.log(count); process.exit(130); }, 200); });
     setInterval(() => {}, 1e6);
     console.log('ready');`,
  );
  assert.equal(await nextLine(), 'ready');
  program.kill('SIGINT');
  program.kill('SIGINT');
  assert.equal(await nextLine(), '1');
  const [code] = await once(program, 'exit');
  assert.equal(code, 130);
});

test('what the program started and left behind is ended with it', async (t) => {
  const { program, nextLine } = start(
    t,
    `import { spawn } from 'node:child_process';
     const left = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
     console.log(left.pid);
     process.exitCode = 3;
     left.unref();`,
  );
  const pid = Number(await nextLine());
  const [code] = await once(program, 'exit');
  assert.equal(code, 3);
  assert.ok(await isGone(pid), `process ${pid} still runs`);
});

test('a program whose npm was killed ends as by SIGTERM', async (t) => {
  const { program, nextLine } = start(
    t,
    `process.on('SIGTERM', () => { console.log('told'); process.exit(0); });
     setInterval(() => {}, 1e6);
     console.log(process.ppid);`,
    // As npm runs its scripts: a shell stands between.
    (main) => ['sh', ['-c', `${process.execPath} ${main}; exit $?`]],
  );
  const pid = Number(await nextLine());
  program.kill('SIGKILL');
  assert.equal(await nextLine(), 'told');
  assert.ok(await isGone(pid), `process ${pid} still runs`);
});

/** True once the process has ended or is only a name that waits to be collected; false after five seconds. */
async function isGone(pid) {
  const deadlineMs = Date.now() + 5_000;
  while (Date.now() < deadlineMs) {
    if (!fs.existsSync(`/proc/${pid}/stat`) || / Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))) return true;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return false;
}
