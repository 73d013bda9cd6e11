import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { chooseDevice } from '../../setup/device.mjs';
import { nodeVersionProblem } from '../../setup/node-version.mjs';
import { tellingLine } from '../../setup/run-command.mjs';
import { ensurePlatform, ensureTools } from '../../setup/tools.mjs';
import { CHECKOUT, temporaryFolder, writeFiles } from './support.mjs';

/** An environment in which only the given commands exist; python3 there has no pip. */
function environmentWith(t, commands) {
  const folder = temporaryFolder(t);
  for (const name of commands) {
    writeFiles(folder, { [name]: '#!/bin/sh\n[ "$1" = "-m" ] && exit 1\nexit 0\n' });
    fs.chmodSync(path.join(folder, name), 0o755);
  }
  return { PATH: folder };
}

test('missing tools are named in one line with what to install', async (t) => {
  const env = environmentWith(t, ['npm', 'python3']);
  await assert.rejects(ensureTools({ env }, ['npm', 'python3', 'pip', 'g++']), {
    name: 'SetupProblem',
    message: 'missing: pip, g++; on Debian: apt-get install python3-pip g++',
  });
});

test('tools that no step needs are not asked for', async (t) => {
  await ensureTools({ env: environmentWith(t, ['npm']) }, ['npm']);
});

test('Node versions outside the range are refused', () => {
  for (const version of ['18.19.0', '20.10.0', '23.0.0', '24.1.0']) {
    assert.equal(nodeVersionProblem(version), `Node ${version} will not do: install Node 20 or 22 (>=20.11 <23)`);
  }
  for (const version of ['20.11.0', '20.20.2', '21.0.0', '22.22.0'])
    assert.equal(nodeVersionProblem(version), undefined);
});

test('the range is that of package.json', () => {
  const { engines } = JSON.parse(fs.readFileSync(path.join(CHECKOUT, 'package.json'), 'utf8'));
  assert.ok(nodeVersionProblem('18.0.0').includes(`(${engines.node})`));
});

test('another platform is refused', () => {
  assert.throws(() => ensurePlatform('darwin', 'arm64'), {
    message: /^darwin on arm64 will not do: the engine needs Linux/,
  });
});

test('the device follows ESPALIER_DEVICE, then the driver', () => {
  assert.deepEqual(chooseDevice({}, false), { variant: 'cpu', asked: false, driverSeen: false });
  assert.deepEqual(chooseDevice({}, true), { variant: 'gpu', asked: false, driverSeen: true });
  assert.deepEqual(chooseDevice({ ESPALIER_DEVICE: 'cpu' }, true), { variant: 'cpu', asked: true, driverSeen: true });
  assert.deepEqual(chooseDevice({ ESPALIER_DEVICE: 'gpu' }, false), { variant: 'gpu', asked: true, driverSeen: false });
  assert.throws(() => chooseDevice({ ESPALIER_DEVICE: 'tpu' }, false), {
    message: 'ESPALIER_DEVICE: got "tpu", expected cpu, gpu or auto',
  });
});

test('a wrong setting ends the program with one line and exit code 1', () => {
  const env = { ...process.env, ESPALIER_DEVICE: 'tpu' };
  const { status, stderr } = spawnSync(process.execPath, ['setup/main.mjs', 'setup'], {
    cwd: CHECKOUT,
    env,
    encoding: 'utf8',
  });
  assert.equal(stderr, 'set-up failed: ESPALIER_DEVICE: got "tpu", expected cpu, gpu or auto\n');
  assert.equal(status, 1);
});

test('the command says what to do in a checkout that is not set up', (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['cli/espalier.mjs', 'setup/node-version.mjs']) {
    writeFiles(folder, { [name]: fs.readFileSync(path.join(CHECKOUT, name)) });
  }
  const { status, stderr } = spawnSync(process.execPath, ['cli/espalier.mjs', 'prune'], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.equal(stderr, 'espalier: this checkout is not set up: run `npm run setup` or `npm run demo` first\n');
  assert.equal(status, 2);
});

test('the line of a failed program that says why is found', () => {
  const npm =
    'npm error code ENOTFOUND\nnpm error errno ENOTFOUND\nnpm error network request failed\nnpm error A complete log of this run can be found in: x\n';
  assert.equal(tellingLine(npm), 'npm error network request failed');
  const node =
    'node:internal/modules/cjs/loader:1865\n  return process.dlopen(module, filename);\n\nError: libx.so: cannot open\n    at a\n\nNode.js v20\n';
  assert.equal(tellingLine(node), 'Error: libx.so: cannot open');
  assert.equal(tellingLine('one\ntwo\n'), 'two');
  assert.equal(tellingLine(''), 'it printed nothing');
});
