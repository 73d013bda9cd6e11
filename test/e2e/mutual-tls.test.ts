// The command and a worker that was started by hand, as on two machines, each with its own certificate.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import { Certificates } from '../support/certificates.ts';
import { exampleRun } from '../support/example-run.ts';
import { startWorker } from '../support/hand-worker.ts';
import { assertFailed, openWorkspace } from '../support/run-cli.ts';
import type { Finished } from '../support/run-here.ts';

const workspace = await openWorkspace();
const ours = new Certificates(['localhost']);
const theirs = new Certificates(['localhost']);
after(() => {
  ours.remove();
  theirs.remove();
});

/** No line of a private key may ever be printed. */
function assertNoKeys(...texts: string[]): void {
  for (const name of ['worker', 'coordinator'])
    for (const line of readFileSync(ours.path(`${name}-key.pem`), 'utf8')
      .split('\n')
      .slice(1, -2))
      for (const text of texts) assert.ok(!text.includes(line));
}

function digestOf({ code, stdout, stderr }: Finished): string {
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { runs: { digest: string }[] }).runs[0].digest;
}

test('a job over TLS gives what one on this machine does, and others are refused', async () => {
  const { port, log } = await startWorker(workspace.path('blobs'), 0, ['--host', '0.0.0.0', ...ours.flags('worker')]);
  const worker = ['--worker', `localhost:${port}`];
  const words = (out: string, ...flags: string[]) => exampleRun(workspace, out, '--samples', '64', ...flags);
  const local = await workspace.runOnWorkers(await words('local'));
  const over = await workspace.run(await words('over', ...worker, ...ours.flags('coordinator')));
  assert.equal(digestOf(over), digestOf(local));
  assertNoKeys(log(), over.stderr, over.stdout);

  const refused = async (...flags: string[]) => workspace.runHere(await words('refused', ...flags));
  assertFailed(await refused(...worker), 'tls', `localhost:${port}: the worker ends every connection at once`);
  assertFailed(await refused(...worker, ...theirs.flags('coordinator')), 'tls', 'not signed by an authority');
  assertFailed(
    await refused('--worker', `127.0.0.1:${port}`, ...ours.flags('coordinator')),
    'tls',
    `127.0.0.1:${port}: got a certificate for localhost, expected one for 127.0.0.1`,
  );
  const own = await refused(...worker, ...ours.flags('worker'));
  assertFailed(own, 'wrong_role', 'worker.pem: got a certificate with role worker, expected coordinator');
  assert.ok(!existsSync(workspace.path('refused')));
});

test('a worker that cannot use its files, or would listen in the open, ends with a reason', () => {
  const start = (...flags: string[]) => {
    const program = path.join(projectRoot(), 'dist/worker/main.js');
    const args = [program, '--blob-dir', workspace.path('none'), '--port', '0', '--host', '0.0.0.0', ...flags];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 });
    assertNoKeys(stderr);
    const [line] = stderr.split('\n').filter((text) => text.includes('"worker failed"'));
    return { status, error: (JSON.parse(line) as { error: { code: string; message: string } }).error };
  };
  const { status, error } = start();
  assert.deepEqual([status, error.code], [2, 'usage']);
  assert.match(error.message, /^--host: got 0\.0\.0\.0 without TLS; give --tls-ca, .* or --insecure$/);

  const mixed = start(...ours.flags('worker').slice(0, 4), '--tls-key', ours.path('coordinator-key.pem'));
  assert.deepEqual([mixed.status, mixed.error.code], [6, 'tls']);
  assert.match(
    mixed.error.message,
    /coordinator-key\.pem: got a key that does not belong to the certificate .*worker\.pem$/,
  );
});
