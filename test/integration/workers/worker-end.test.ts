// How a worker process ends when it is asked to: cleanly, TensorFlow loaded or not.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';
import { until } from '../../support/until.ts';

test('SIGTERM drains a worker and ends it with exit code 0, not with a crash of its engine', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-end-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const program = path.join(projectRoot(), 'dist/worker/main.js');
  const child = spawn(
    process.execPath,
    [program, '--port', '0', '--metrics-port', '0', '--device', 'cpu', '--blob-dir', folder],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await until('the worker serves', () => log.includes('"message":"serving"'), 60_000);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null], log);
});
