// Owns dist/: the compiled TypeScript, nothing else. A stamp records the sources it was made from and what was written,
// so that a changed source, a touched output and an output whose source is gone are all noticed.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { SetupProblem } from './problem.mjs';
import { capture } from './run-command.mjs';

export const title = 'build';
export const tools = [];

const STAMP = '.espalier-build.json';

/** True when dist/ is what the present sources compile to. */
export async function isReady({ root }) {
  try {
    const stamp = JSON.parse(fs.readFileSync(path.join(root, 'dist', STAMP), 'utf8'));
    return stamp.sources === digestSources(root) && stamp.outputs === digestOutputs(root);
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return false;
    throw error;
  }
}

/** Type-checks and compiles. @throws SetupProblem that holds the compiler's messages when a type is wrong; dist/ then stays. */
export async function ensure({ root, env, signal, say }) {
  fs.rmSync(path.join(root, 'dist', STAMP), { force: true });
  const sources = digestSources(root);
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [compiler, '-p', 'tsconfig.json', '--noEmitOnError'];
  const { code, stdout, stderr } = await capture(process.execPath, args, { cwd: root, env, signal });
  if (code !== 0) {
    for (const line of `${stdout}${stderr}`.trim().split('\n')) say(line);
    throw new SetupProblem('the sources do not compile; correct what is listed above');
  }
  removeStaleOutputs(root);
  fs.writeFileSync(path.join(root, 'dist', STAMP), JSON.stringify({ sources, outputs: digestOutputs(root) }));
}

/** What decides the output: the settings, the compiler's version (by the lock file) and the text of every source. */
function digestSources(root) {
  const hash = createHash('sha256');
  for (const name of ['tsconfig.json', 'package-lock.json', ...listSources(root)]) {
    hash.update(`${name}\n`).update(fs.readFileSync(path.join(root, name)));
  }
  return hash.digest('hex');
}

function digestOutputs(root) {
  const hash = createHash('sha256');
  for (const name of listFiles(path.join(root, 'dist'))) {
    if (name === STAMP) continue;
    const { size, mtimeMs } = fs.statSync(path.join(root, 'dist', name));
    hash.update(`${name} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function removeStaleOutputs(root) {
  const expected = new Set();
  for (const source of listSources(root)) {
    const output = source.replace(/\.ts$/, '.js');
    expected.add(output).add(`${output}.map`);
  }
  const dist = path.join(root, 'dist');
  for (const name of listFiles(dist)) {
    if (!expected.has(name)) fs.rmSync(path.join(dist, name));
  }
}

/** Paths of all TypeScript sources, relative to the root, sorted. */
function listSources(root) {
  const { include } = JSON.parse(fs.readFileSync(path.join(root, 'tsconfig.json'), 'utf8'));
  return include
    .flatMap((folder) => listFiles(path.join(root, folder)).map((name) => path.join(folder, name)))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .sort();
}

/** Paths of all files in a folder, relative to it, sorted; none when it is not there. */
function listFiles(folder) {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}
