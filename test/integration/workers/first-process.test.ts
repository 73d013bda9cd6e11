// A process that is the first of its container, which the kernel spares most signals: it drains when it is asked to, and a
// second signal still ends it.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../../../shared/project-root.ts';
import { descendantsOf, isRunning } from '../../support/processes.ts';
import { until } from '../../support/until.ts';

const IN_A_CONTAINER = ['--user', '--map-root-user', '--pid', '--fork', '--kill-child'];
const isAllowed = spawnSync('unshare', [...IN_A_CONTAINER, 'true']).status === 0;

test('the first process of a container ends at the second signal', {
  skip: !isAllowed && 'no namespaces here',
}, async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-first-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const program = path.join(folder, 'program.mjs');
  const lifecycle = pathToFileURL(path.join(projectRoot(), 'dist/shared/lifecycle.js')).href;
  // It drains for ever.
  writeFileSync(
    program,
    `import { drainAsked } from ${JSON.stringify(lifecycle)};
setInterval(() => {}, 1_000);
const { asked } = drainAsked(['SIGTERM'], 'program');
process.stdout.write(\`pid \${process.pid}\\n\`);
await asked;
process.stdout.write('draining\\n');
`,
  );
  const unshare = spawn('unshare', [...IN_A_CONTAINER, process.execPath, program], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => unshare.kill('SIGKILL'));
  let output = '';
  unshare.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await until('it listens', () => output === 'pid 1\n');
  const [first] = descendantsOf(unshare.pid!);
  process.kill(first!, 'SIGTERM');
  await until('it drains', () => output.endsWith('draining\n'));
  const ended = once(unshare, 'exit');
  process.kill(first!, 'SIGTERM');
  await ended;
  assert.equal(isRunning(first!), false);
});
