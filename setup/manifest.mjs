// A manifest says which files a folder of the cache must hold. Sizes and times are compared at every start; the bytes
// are hashed only when a time differs, so that a damaged library is noticed and an untouched one costs no reading.
//
// Form: { "path": { "bytes": 12, "sha256": "…", "mtimeMs": 1 } }, paths relative to the folder.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** Checks every file of a manifest against the disk.
 * @returns {string | undefined} what is wrong with the first bad file, or undefined when all are whole. */
export function findDamage(folder, manifestName) {
  const manifest = readManifest(folder, manifestName);
  if (manifest === undefined) return `${manifestName} is missing or unreadable`;
  let timesChanged = false;
  for (const [name, expected] of Object.entries(manifest)) {
    const stat = fs.statSync(path.join(folder, name), { throwIfNoEntry: false });
    if (stat === undefined) return `${name} is missing`;
    if (stat.size !== expected.bytes) return `${name} has ${stat.size} bytes, expected ${expected.bytes}`;
    if (stat.mtimeMs === expected.mtimeMs) continue;
    if (sha256OfFile(path.join(folder, name)) !== expected.sha256) return `${name} has other content`;
    expected.mtimeMs = stat.mtimeMs;
    timesChanged = true;
  }
  if (timesChanged) tryWriteManifest(folder, manifestName, manifest);
  return undefined;
}

/** Writes a manifest from entries without times; the files count as unread until findDamage has hashed them once. */
export function writeManifest(folder, manifestName, entries) {
  const scratch = path.join(folder, `${manifestName}.${process.pid}`);
  fs.writeFileSync(scratch, `${JSON.stringify(entries)}\n`);
  fs.renameSync(scratch, path.join(folder, manifestName));
}

const chunk = Buffer.allocUnsafeSlow(4 << 20);

/** SHA-256 of a file's bytes, in hexadecimal. Synchronous: a stream for each of 13,000 headers takes ten times as long. */
export function sha256OfFile(file) {
  const hash = createHash('sha256');
  const descriptor = fs.openSync(file);
  try {
    for (let bytes = fs.readSync(descriptor, chunk); bytes > 0; bytes = fs.readSync(descriptor, chunk)) {
      hash.update(chunk.subarray(0, bytes));
    }
  } finally {
    fs.closeSync(descriptor);
  }
  return hash.digest('hex');
}

function readManifest(folder, manifestName) {
  try {
    return JSON.parse(fs.readFileSync(path.join(folder, manifestName), 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A cache that this user may only read still serves: the files are then hashed at every start. */
function tryWriteManifest(folder, manifestName, manifest) {
  try {
    writeManifest(folder, manifestName, manifest);
  } catch (error) {
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
  }
}
