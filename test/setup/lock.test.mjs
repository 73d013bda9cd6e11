import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeSelf, withLock } from '../../setup/lock.mjs';
import { temporaryFolder } from './support.mjs';

const LOCK_MODULE = JSON.stringify(path.resolve(import.meta.dirname, '../../setup/lock.mjs'));

test('the file names the holder while the work runs and is gone after it', async (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'a.lock');
  const answer = await withLock(file, {}, async () => {
    assert.deepEqual(JSON.parse(fs.readFileSync(file, 'utf8')), describeSelf());
    return 7;
  });
  assert.equal(answer, 7);
  assert.deepEqual(fs.readdirSync(folder), []);
});

test('the lock is released when the work fails', async (t) => {
  const file = path.join(temporaryFolder(t), 'a.lock');
  await assert.rejects(
    withLock(file, {}, async () => {
      throw new Error('no');
    }),
    /^Error: no$/,
  );
  assert.equal(fs.existsSync(file), false);
});

test('a lock whose holder is dead is taken over', async (t) => {
  const file = path.join(temporaryFolder(t), 'a.lock');
  const dead = spawnSync(process.execPath, ['-e', '']);
  fs.writeFileSync(file, JSON.stringify({ ...describeSelf(), pid: dead.pid }));
  assert.equal(await withLock(file, { onWait: () => assert.fail('it must not wait') }, async () => 'ran'), 'ran');
});

test('a pid that now belongs to another process counts as dead', async (t) => {
  const file = path.join(temporaryFolder(t), 'a.lock');
  fs.writeFileSync(file, JSON.stringify({ ...describeSelf(), startTicks: '1' }));
  assert.equal(await withLock(file, {}, async () => 'ran'), 'ran');
});

test('a lock that is no JSON counts as dead', async (t) => {
  const file = path.join(temporaryFolder(t), 'a.lock');
  fs.writeFileSync(file, '');
  assert.equal(await withLock(file, {}, async () => 'ran'), 'ran');
});

test('a lock from another container counts as dead once it is no longer renewed', async (t) => {
  const file = path.join(temporaryFolder(t), 'a.lock');
  fs.writeFileSync(file, JSON.stringify({ pid: 1, startTicks: '1', space: 'elsewhere' }));
  const waiting = new AbortController();
  const onWait = (pid) => waiting.abort(new Error(`waits for ${pid}`));
  await assert.rejects(
    withLock(file, { onWait, signal: waiting.signal }, async () => 'ran'),
    (error) => {
      assert.equal(error.cause.message, 'waits for 1');
      return true;
    },
  );
  const longAgo = new Date(Date.now() - 120_000);
  fs.utimesSync(file, longAgo, longAgo);
  assert.equal(await withLock(file, {}, async () => 'ran'), 'ran');
});

test('processes that start on a dead lock together still run one at a time', async (t) => {
  const folder = temporaryFolder(t);
  const file = path.join(folder, 'a.lock');
  fs.writeFileSync(file, JSON.stringify({ ...describeSelf(), startTicks: '1' }));
  // Each holder makes a folder and removes it: a second holder at the same time would fail to make it.
  const program = `
    import { mkdirSync, rmdirSync } from 'node:fs';
    import { withLock } from ${LOCK_MODULE};
    const busy = ${JSON.stringify(path.join(folder, 'busy'))};
    await withLock(${JSON.stringify(file)}, {}, async () => {
      mkdirSync(busy);
      await new Promise((resolve) => setTimeout(resolve, 50));
      rmdirSync(busy);
    });`;
  const children = Array.from({ length: 5 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' }),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
  assert.deepEqual(codes, [0, 0, 0, 0, 0]);
  assert.deepEqual(fs.readdirSync(folder), []);
});

test('a holder that is killed leaves a lock that the waiting process takes over', async (t) => {
  const file = path.join(temporaryFolder(t), 'a.lock');
  const program = `
    import { withLock } from ${LOCK_MODULE};
    await withLock(${JSON.stringify(file)}, {}, () => new Promise(() => { console.log('held'); setInterval(() => {}, 1e6); }));`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  const waitedFor = [];
  const onWait = (pid) => {
    waitedFor.push(pid);
    holder.kill('SIGKILL');
  };
  assert.equal(await withLock(file, { onWait }, async () => 'ran'), 'ran');
  assert.deepEqual(waitedFor, [holder.pid]);
});
