// Owns node_modules: it holds exactly what package-lock.json says. A stamp inside it records the lock file that it was
// made from, and goes first when npm starts over, so that an interrupted `npm ci` is noticed.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { captureOrFail } from './run-command.mjs';

export const title = 'npm dependencies (npm ci)';
export const tools = ['npm'];

/** True when the stamp names this package-lock.json. */
export async function isReady({ root }) {
  return readIfThere(stampFile(root)) === lockDigest(root);
}

/** Runs `npm ci` unless node_modules already is what it would make. @throws SetupProblem with npm's reason. */
export async function ensure(context) {
  const { root, env, signal } = context;
  if (!installedMatchesLock(root)) {
    fs.rmSync(stampFile(root), { force: true });
    await captureOrFail('npm ci', 'npm', ['ci', '--no-audit', '--no-fund', '--no-progress'], {
      cwd: root,
      env,
      signal,
    });
  }
  fs.writeFileSync(stampFile(root), lockDigest(root));
}

const stampFile = (root) => path.join(root, 'node_modules', '.espalier-package-lock-sha256');

const lockDigest = (root) =>
  createHash('sha256')
    .update(fs.readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');

/** Someone ran `npm ci` by hand: npm's own record of node_modules, which it writes last, agrees with the lock file. */
function installedMatchesLock(root) {
  const record = readIfThere(path.join(root, 'node_modules', '.package-lock.json'));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages;
  const locked = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages;
  const wanted = Object.entries(locked).filter(([name, entry]) => name !== '' && !entry.optional);
  return (
    wanted.every(([name]) => installed[name] !== undefined && fs.existsSync(path.join(root, name, 'package.json'))) &&
    Object.entries(installed).every(([name, entry]) => entry.integrity === locked[name]?.integrity)
  );
}

function readIfThere(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
