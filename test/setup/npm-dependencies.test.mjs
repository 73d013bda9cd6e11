import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ensure, isReady } from '../../setup/npm-dependencies.mjs';
import { CHECKOUT, temporaryFolder, writeFiles } from './support.mjs';

const LOCK = {
  packages: {
    '': { name: 'a' },
    'node_modules/b': { version: '1.0.0', integrity: 'sha512-b' },
    'node_modules/for-another-platform': { version: '1.0.0', integrity: 'sha512-c', optional: true },
  },
};

/** A checkout whose `npm` writes what it was called with and a node_modules as npm would. */
function makeCheckout(t) {
  const root = temporaryFolder(t);
  const record = JSON.stringify({ packages: { 'node_modules/b': { version: '1.0.0', integrity: 'sha512-b' } } });
  writeFiles(root, {
    'package-lock.json': JSON.stringify(LOCK),
    'bin/npm': `#!/bin/sh\necho "$1" >> ${root}/calls\nmkdir -p node_modules/b\necho '{}' > node_modules/b/package.json\necho '${record}' > node_modules/.package-lock.json\n`,
  });
  fs.chmodSync(path.join(root, 'bin/npm'), 0o755);
  const env = { PATH: `${path.join(root, 'bin')}:${process.env.PATH}` };
  const calls = () =>
    fs.existsSync(`${root}/calls`) ? fs.readFileSync(`${root}/calls`, 'utf8').trim().split('\n') : [];
  return { context: { root, env, say: () => {} }, root, calls };
}

test('runs npm ci once, and again when the lock file changes', async (t) => {
  const { context, root, calls } = makeCheckout(t);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(await isReady(context), true);
  LOCK.packages['node_modules/b'].integrity = 'sha512-b2';
  writeFiles(root, { 'package-lock.json': JSON.stringify(LOCK) });
  LOCK.packages['node_modules/b'].integrity = 'sha512-b';
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.deepEqual(calls(), ['ci', 'ci']);
});

test('an install that npm did by hand is accepted when it is what the lock file says', async (t) => {
  const { context, calls } = makeCheckout(t);
  const byHand = { 'node_modules/b': { integrity: 'sha512-b' } };
  writeFiles(context.root, {
    'node_modules/b/package.json': '{}',
    'node_modules/.package-lock.json': JSON.stringify({ packages: byHand }),
  });
  await ensure(context);
  assert.deepEqual(calls(), []);
});

test('an install with a missing package is made again', async (t) => {
  const { context, root, calls } = makeCheckout(t);
  await ensure(context);
  fs.rmSync(path.join(root, 'node_modules/b'), { recursive: true });
  fs.rmSync(path.join(root, 'node_modules/.espalier-package-lock-sha256'));
  await ensure(context);
  assert.deepEqual(calls(), ['ci', 'ci']);
});

test('a failure of npm is one line with its reason', async (t) => {
  const { context, root } = makeCheckout(t);
  writeFiles(root, {
    'bin/npm': '#!/bin/sh\necho "npm error code EUSAGE" >&2\necho "npm error not in sync" >&2\nexit 1\n',
  });
  await assert.rejects(ensure(context), { name: 'SetupProblem', message: 'npm ci failed: npm error not in sync' });
  assert.equal(await isReady(context), false);
});

test("the lock file has every package that another names, as npm ci asks, and names no registry's host", () => {
  const text = fs.readFileSync(path.join(CHECKOUT, 'package-lock.json'), 'utf8');
  const { packages } = JSON.parse(text);
  assert.equal(/"resolved"/.test(text), false);
  for (const [name, entry] of Object.entries(packages)) {
    for (const optional of Object.keys(entry.optionalDependencies ?? {})) {
      assert.ok(packages[`node_modules/${optional}`], `${name} names ${optional}`);
    }
  }
});
