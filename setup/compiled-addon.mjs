// What the steps that compile an addon of Node share: the compiler's version, compiled addons in the per-user cache, the copy
// that a checkout loads, and the stamp beside it, which says what the copy was made from.

import fs from 'node:fs';
import path from 'node:path';
import { withLock } from './lock.mjs';
import { findDamage, sha256OfFile, writeManifest } from './manifest.mjs';
import { capture, captureOrFail } from './run-command.mjs';

/** Version of g++, or undefined when there is none. */
export async function describeCompiler({ env, signal }) {
  const { code, stdout } = await capture('g++', ['-dumpfullversion'], { env, signal });
  return code === 0 ? stdout.trim() : undefined;
}

/** Compiles an addon into a folder of the cache unless it is there and whole; safe beside other set-ups of the same user.
 * @param what `{ folder, file, manifest, name, before, args }`: `before()` runs before the compiler does, `args(output)`
 * are the compiler's.
 * @throws SetupProblem when it does not compile. */
export async function ensureCompiled(context, { folder, file, manifest, name, before, args }) {
  const onWait = (pid) => context.say(`waiting for process ${pid}, which is compiling the same ${name}`);
  await withLock(`${folder}.lock`, { onWait, signal: context.signal }, async () => {
    if (findDamage(folder, manifest) === undefined) return;
    await before();
    fs.rmSync(folder, { recursive: true, force: true });
    const scratch = `${folder}.part-${process.pid}`;
    fs.rmSync(scratch, { recursive: true, force: true });
    fs.mkdirSync(scratch, { recursive: true });
    try {
      const output = path.join(scratch, file);
      await captureOrFail(`compiling the ${name}`, 'g++', args(output), context);
      writeManifest(scratch, manifest, { [file]: { bytes: fs.statSync(output).size, sha256: sha256OfFile(output) } });
      fs.renameSync(scratch, folder);
    } finally {
      fs.rmSync(scratch, { recursive: true, force: true });
    }
  });
}

/** Replaces a file in one step: a process that has loaded the old one keeps it. */
export function replaceFile(source, target) {
  fs.mkdirSync(path.dirname(target), { recursive: true });
  const scratch = `${target}.part-${process.pid}`;
  fs.copyFileSync(source, scratch);
  fs.renameSync(scratch, target);
}

/** Says beside an addon what it was made from. @param facts as `readStamp` shall give them again. */
export function writeStamp(stamp, addon, facts) {
  const { size, mtimeMs } = fs.statSync(addon);
  fs.writeFileSync(stamp, JSON.stringify({ ...facts, bytes: size, mtimeMs }));
}

/** The facts of `writeStamp`; undefined when there are none or the addon is not the one that they are about. */
export function readStamp(stamp, addon) {
  const facts = readJson(stamp);
  const stat = fs.statSync(addon, { throwIfNoEntry: false });
  if (facts === undefined || stat === undefined) return undefined;
  return facts.bytes === stat.size && facts.mtimeMs === stat.mtimeMs ? facts : undefined;
}

/** A file of JSON; undefined when it is not there or damaged. */
export function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
