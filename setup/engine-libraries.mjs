// Owns the engine's libraries in the per-user cache: <cache>/tensorflow/<variant>-<version>-<digest>/ with lib/,
// include/ and, for a GPU, nvidia/.

import { createHash } from 'node:crypto';
import path from 'node:path';
import { ensureUnpacked } from './cached-wheels.mjs';
import { findDamage } from './manifest.mjs';

export const title = 'engine libraries';
export const tools = ['python3', 'pip'];

const LIBRARIES = 'libraries.json';
const HEADERS = 'headers.json';
const isHeader = (file) => file.startsWith('include/');

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

/** Downloads, checks and unpacks the libraries unless they are whole. @throws SetupProblem as `ensureUnpacked`. */
export async function ensure(context) {
  const { wheels, unpackedMegabytes } = context.engine;
  const manifests = { [LIBRARIES]: (file) => !isHeader(file), [HEADERS]: isHeader };
  await ensureUnpacked(context, {
    folder: librariesFolder(context),
    wheels,
    unpackedMegabytes,
    name: 'libraries',
    manifests,
  });
}

/** Headers are read only to compile, and are too many to look at in every start: whoever compiles asks for this. */
export async function ensureHeaders(context) {
  if (findDamage(librariesFolder(context), HEADERS) !== undefined) await ensure(context);
}
