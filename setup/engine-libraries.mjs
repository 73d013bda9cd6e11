// Owns the engine's libraries in the per-user cache: <cache>/tensorflow/<variant>-<version>-<digest>/ with lib/,
// include/ and, for a GPU, nvidia/. A folder of that name is always whole when it appears: it is made aside, checked
// and renamed. What damaged it later is noticed by its manifests and repaired by making it again.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { withLock } from './lock.mjs';
import { findDamage, sha256OfFile, writeManifest } from './manifest.mjs';
import { SetupProblem } from './problem.mjs';
import { captureOrFail } from './run-command.mjs';

export const title = 'engine libraries';
export const tools = ['python3', 'pip'];

const LIBRARIES = 'libraries.json';
const HEADERS = 'headers.json';
const UNPACK = path.join(import.meta.dirname, 'unpack-wheel.py');

/** The folder of the chosen variant; its name changes with any pinned wheel. */
export function librariesFolder({ cache, engine }) {
  const sums = engine.wheels.map((wheel) => wheel.sha256);
  const digest = sums.length === 1 ? sums[0] : createHash('sha256').update(sums.join('\n')).digest('hex');
  return path.join(cache, 'tensorflow', `${engine.variant}-${engine.version}-${digest.slice(0, 12)}`);
}

/** True when every library is there with its right size, and with its right content wherever its time has changed. */
export async function isReady(context) {
  return findDamage(librariesFolder(context), LIBRARIES) === undefined;
}

/** Downloads, checks and unpacks the libraries unless they are whole; safe beside other set-ups of the same user.
 * @throws SetupProblem when a download fails or its sum is wrong twice, or when the disk is too small. */
export async function ensure(context) {
  const folder = librariesFolder(context);
  const onWait = (pid) => context.say(`waiting for process ${pid}, which is installing the same libraries`);
  await withLock(`${folder}.lock`, { onWait, signal: context.signal }, async () => {
    removeLeftovers(folder);
    if (fs.existsSync(folder)) {
      const damage = findDamage(folder, LIBRARIES) ?? findDamage(folder, HEADERS);
      if (damage === undefined) return;
      context.say(`the cached libraries are damaged (${damage}); installing them again`);
    }
    requireSpace(context);
    const scratch = `${folder}.part-${process.pid}`;
    try {
      await assemble(context, scratch);
      fs.rmSync(folder, { recursive: true, force: true });
      fs.renameSync(scratch, folder);
    } finally {
      fs.rmSync(scratch, { recursive: true, force: true });
    }
  });
}

/** Headers are read only to compile, and are too many to look at in every start: whoever compiles asks for this. */
export async function ensureHeaders(context) {
  if (findDamage(librariesFolder(context), HEADERS) !== undefined) await ensure(context);
}

async function assemble(context, scratch) {
  const entries = {};
  for (const wheel of context.engine.wheels) {
    const downloads = path.join(scratch, 'download');
    fs.mkdirSync(downloads, { recursive: true });
    context.say(`downloading ${wheel.name} ${wheel.version} (${wheel.megabytes} MB, once for this user)`);
    const file = await fetchChecked(context, wheel, downloads);
    const purpose = `unpacking ${wheel.name} ${wheel.version}`;
    const args = [UNPACK, file, scratch, JSON.stringify(wheel.files)];
    Object.assign(entries, JSON.parse(await captureOrFail(purpose, 'python3', args, context)));
    fs.rmSync(downloads, { recursive: true });
  }
  const isHeader = ([name]) => name.startsWith('include/');
  const all = Object.entries(entries);
  writeManifest(scratch, HEADERS, Object.fromEntries(all.filter(isHeader)));
  writeManifest(scratch, LIBRARIES, Object.fromEntries(all.filter((entry) => !isHeader(entry))));
  const damage = findDamage(scratch, LIBRARIES) ?? findDamage(scratch, HEADERS);
  if (damage !== undefined) throw new SetupProblem(`the disk did not keep the unpacked libraries: ${damage}`);
}

/** A download with a wrong sum is made once more, past pip's own cache, before it counts as a failure. */
async function fetchChecked(context, wheel, downloads) {
  let got;
  for (const fresh of [false, true]) {
    const file = await context.fetchWheel(wheel, downloads, { env: context.env, signal: context.signal, fresh });
    got = sha256OfFile(file);
    if (got === wheel.sha256) return file;
    context.say(`the download of ${wheel.name} is corrupt`);
    fs.rmSync(file);
  }
  throw new SetupProblem(
    `${wheel.name} ${wheel.version}: got SHA-256 ${got}, expected ${wheel.sha256}; nothing was installed`,
  );
}

/** What a killed set-up left behind; called only under the lock, so nobody is writing there. */
function removeLeftovers(folder) {
  const prefix = `${path.basename(folder)}.part-`;
  for (const name of fs.readdirSync(path.dirname(folder))) {
    if (name.startsWith(prefix)) fs.rmSync(path.join(path.dirname(folder), name), { recursive: true, force: true });
  }
}

function requireSpace({ cache, engine }) {
  const largestMegabytes = Math.max(...engine.wheels.map((wheel) => wheel.megabytes));
  const neededMegabytes = engine.unpackedMegabytes + largestMegabytes;
  const { bavail, bsize } = fs.statfsSync(cache);
  const freeMegabytes = Math.floor((bavail * bsize) / 1e6);
  if (freeMegabytes >= neededMegabytes) return;
  throw new SetupProblem(`${cache}: ${freeMegabytes} MB are free, ${neededMegabytes} MB are needed for the libraries`);
}
