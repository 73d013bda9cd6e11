// Locks between processes: who may hold them together, who gives way, and that a killed holder stops nobody.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EspalierError } from '../../../shared/errors.ts';
import { acquireFolderLock, type LockMode, removeDeadLocks } from '../../../shared/exclusive/folder-lock.ts';
import { formatIdentity, identityOf } from '../../../shared/process-identity.ts';

const CHILD = fileURLToPath(new URL('./lock-child.js', import.meta.url));

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-folder-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const ask = (mode: LockMode, timeoutMs = Number.POSITIVE_INFINITY, name = 'x') =>
  acquireFolderLock({ folder, name, mode, timeoutMs });

test('many may share it, one alone may have it exclusively', async () => {
  const [first, second] = [await ask('shared', 0), await ask('shared', 0)];
  assert.ok(first !== null && second !== null);
  assert.equal(await ask('exclusive', 30), null);
  await first();
  await second();
  const alone = await ask('exclusive', 0);
  assert.ok(alone !== null);
  assert.equal(await ask('shared', 30), null);
  assert.equal(await ask('exclusive', 30), null);
  assert.ok((await ask('exclusive', 0, 'y')) !== null, 'another name is another lock');
  await alone();
  await (await ask('shared', 0))?.();
  assert.deepEqual(
    readdirSync(folder).filter((file) => file.startsWith('x.')),
    [],
  );
});

test('an exclusive one that waits lets no further shared one in, and gets its turn', async () => {
  const first = await ask('shared', 0);
  const waiting = ask('exclusive');
  // Its file is there from its first look on.
  while (!readdirSync(folder).some((file) => file.includes('.exclusive.'))) await new Promise(setImmediate);
  assert.equal(await ask('shared', 30), null);
  await first?.();
  const release = await waiting;
  assert.ok(release !== null);
  await release();
});

test('whoever waits stops when the signal aborts, and leaves nothing', async () => {
  const release = await ask('exclusive', 0);
  const stop = new AbortController();
  const waiting = acquireFolderLock({ folder, name: 'x', mode: 'shared', signal: stop.signal });
  stop.abort(new EspalierError('cancelled', 'nobody waits'));
  await assert.rejects(waiting, { code: 'cancelled', message: 'nobody waits' });
  await release?.();
  assert.deepEqual(readdirSync(folder), []);
});

test('processes never hold it together where one of them has it exclusively', async () => {
  mkdirSync(join(folder, 'witnesses'));
  const children = Array.from({ length: 4 }, () => spawn(process.execPath, [CHILD, folder, 'rounds']));
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
  assert.deepEqual(codes, [0, 0, 0, 0]);
  assert.deepEqual(readdirSync(folder), ['witnesses']);
});

test('a holder that was killed is gone at once', async () => {
  const child = spawn(process.execPath, [CHILD, folder, 'hold'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  assert.equal(await ask('shared', 30), null);
  const waiting = ask('exclusive');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const release = await waiting;
  assert.ok(release !== null);
  await release();
  assert.deepEqual(readdirSync(folder), []);
});

test('what dead processes left is removed; a process of another container counts while its file is fresh', async () => {
  const dead = `z.shared.0.${formatIdentity({ ...identityOf(), startTicks: '1' })}`;
  const other = `x.exclusive.0.${formatIdentity({ ...identityOf(), pidNamespace: '1' })}`;
  for (const file of [dead, other, 'no-lock']) writeFileSync(join(folder, file), '');
  await removeDeadLocks(folder);
  assert.deepEqual(readdirSync(folder).sort(), ['no-lock', other].sort());
  assert.equal(await ask('shared', 30), null);
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(join(folder, other), longAgo, longAgo);
  await (await ask('shared', 0))?.();
  assert.deepEqual(readdirSync(folder), ['no-lock']);
});
