// Small stand-ins for the set-up's tests: folders that vanish, wheels of a few bytes, and a download that counts.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const CHECKOUT = path.resolve(import.meta.dirname, '..', '..');

/** A folder that is removed when the test ends. */
export function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'espalier-setup-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes files, given as { path: text or bytes }, and the folders around them. */
export function writeFiles(folder, files) {
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
}

const RULES = [
  { from: 'tensorflow/libtensorflow_cc.so.2', to: 'lib/libtensorflow_cc.so.2' },
  { from: 'tensorflow/libtensorflow_framework.so.2', to: 'lib/libtensorflow_framework.so.2' },
  { from: 'tensorflow/include/', to: 'include/' },
];

const FILES = {
  'tensorflow/libtensorflow_cc.so.2': 'the library',
  'tensorflow/libtensorflow_framework.so.2': 'the framework',
  'tensorflow/include/tensorflow/c/c_api.h': '// header',
  'tensorflow/python/unwanted.py': 'never unpacked',
};

/** An engine of one small wheel, as engine-wheels.mjs describes the real ones, and the wheel's file. */
export function fakeEngine(folder, files = FILES) {
  writeFiles(path.join(folder, 'wheel'), files);
  const file = path.join(folder, 'fake-1.0-py3-none-any.whl');
  execFileSync('python3', ['-m', 'zipfile', '-c', file, 'tensorflow'], { cwd: path.join(folder, 'wheel') });
  const sha256 = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
  const wheel = { name: 'fake', version: '1.0', megabytes: 1, sha256, files: RULES };
  return { file, engine: { variant: 'cpu', version: '1.0', wheels: [wheel], linked: [], unpackedMegabytes: 1 } };
}

/** A context whose downloads copy `file` and are listed in `fetched`; what is told to the user is in `said`. */
export function fakeContext(folder, { file, engine }, replaced = {}) {
  const fetched = [];
  const said = [];
  const fetchWheel = async (wheel, target) => {
    fetched.push(wheel.name);
    fs.copyFileSync(file, path.join(target, path.basename(file)));
    return path.join(target, path.basename(file));
  };
  const context = {
    root: path.join(folder, 'checkout'),
    cache: path.join(folder, 'cache'),
    env: process.env,
    device: { variant: 'cpu', asked: false, driverSeen: false },
    say: (line) => said.push(line),
    engine,
    fetchWheel,
    ...replaced,
  };
  return { context, fetched, said };
}
