#!/usr/bin/env node
// Makes what a nats-server for Espalier needs: its configuration and, unless users are known by their certificates, a key
// for each kind of process, with no more rights than it uses (permissions.mjs). Nothing that is there is ever overwritten.

import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeNewFiles, Problem, runScript } from '../new-files.mjs';
import { natsConfiguration } from './configuration.mjs';
import { makeUserKey } from './nkey.mjs';
import { USERS } from './permissions.mjs';

const HELP = `Usage: node deploy/nats/make-nats-config.mjs --out DIR --certificates DIR [options]

Writes nats.conf, and the keys coordinator.nk, worker.nk and admin.nk: give each process its own as --nats-credentials.

  --out DIR           folder to write; made where it is missing
  --certificates DIR  has ca.pem, nats.pem and nats-key.pem, as deploy/make-certificates.mjs makes them; whoever connects
                      needs a certificate of that authority too
  --certificate-names CA,CERTIFICATE,KEY
                      names of these files, for a nats.conf of another machine or a container: --certificates and --store
                      are whole paths there and are not looked for here
  --insecure          in place of --certificates: no TLS, for networks where everybody is trusted
  --users KIND        keys, or certificates: a user is then the role in its certificate, and no keys are written
                      (default: keys)
  --listen HOST:PORT  address to serve (default: 127.0.0.1:4222)
  --monitor-port N    port on 127.0.0.1 for nats-server's own pages, /healthz among them (default: 8222; 0: none)
  --monitor HOST:PORT the same on another address, in its place
  --store DIR         folder of its data (default: store in --out)
  --store-gb N        how much all streams together may take on disk, 1 to 1000000 (default: 110, which is enough for
                      coordinators with --store-limit-gb 100)

Example:
  node deploy/nats/make-nats-config.mjs --out nats --certificates certificates --listen 0.0.0.0:4222
  nats-server -c nats/nats.conf
`;

const NAMES = 'ca.pem,nats.pem,nats-key.pem';

function main() {
  const settings = readFlags();
  if (settings === null) {
    process.stdout.write(HELP);
    return;
  }
  const users = settings.byCertificate ? [] : Object.keys(USERS);
  const names = [...users.map((user) => `${user}.nk`), 'nats.conf'];
  makeNewFiles(
    settings.out,
    names,
    (name) => name.endsWith('.nk'),
    (folder) => {
      const made = Object.fromEntries(users.map((user) => [user, makeUserKey()]));
      for (const [user, { seed }] of Object.entries(made))
        fs.writeFileSync(path.join(folder, `${user}.nk`), `${seed}\n`);
      const keys = settings.byCertificate ? null : made;
      fs.writeFileSync(path.join(folder, 'nats.conf'), natsConfiguration({ ...settings, keys }));
    },
  );
}

/** The checked flags, or null when help was asked for. @throws Problem that tells of everything at once. */
function readFlags() {
  const text = { type: 'string' };
  const flag = { type: 'boolean' };
  const options = {
    out: text,
    certificates: text,
    'certificate-names': text,
    insecure: flag,
    users: text,
    listen: text,
    store: text,
    'store-gb': text,
    'monitor-port': text,
    monitor: text,
  };
  let values;
  try {
    ({ values } = parseArgs({ options: { ...options, help: flag } }));
  } catch (error) {
    throw new Problem(`${error.message}; see --help`);
  }
  if (values.help) return null;
  const { out, insecure = false, users = 'keys', listen = '127.0.0.1:4222', 'store-gb': storeGb = '110' } = values;
  const problems = [];
  if (!out) problems.push('--out DIR: missing');
  const tls = readTls(values, insecure, problems);
  if (!['keys', 'certificates'].includes(users)) problems.push(`--users: got ${users}, expected keys or certificates`);
  else if (users === 'certificates' && insecure) problems.push('--users certificates: got --insecure as well');
  if (!isHostAndPort(listen)) problems.push(`--listen: got ${listen}, expected HOST:PORT`);
  if (!/^\d{1,7}$/.test(storeGb) || Number(storeGb) < 1 || Number(storeGb) > 1_000_000)
    problems.push(`--store-gb: got ${storeGb}, expected a whole number from 1 to 1000000`);
  const monitor = readMonitor(values, problems);
  if (problems.length > 0) throw new Problem(`${problems.join('; ')}; see --help`);
  const store = path.resolve(values.store ?? path.join(out, 'store'));
  return { out, byCertificate: users === 'certificates', listen, monitor, store, storeGb, tls };
}

/** Paths as nats-server will have them, or null without TLS. */
function readTls({ certificates: folder, 'certificate-names': given, store }, insecure, problems) {
  if ((folder !== undefined) === insecure) problems.push('--certificates DIR or --insecure: got both or none');
  const names = (given ?? NAMES).split(',');
  if (names.length !== 3 || names.some((name) => name === '' || name.includes('/')))
    problems.push(`--certificate-names: got ${given}, expected three names of files, separated by commas`);
  if (folder === undefined) {
    if (given !== undefined) problems.push('--certificate-names: got them without --certificates');
    return null;
  }
  if (given === undefined) {
    for (const name of names)
      if (!fs.existsSync(path.join(folder, name))) problems.push(`--certificates: got ${folder}, which has no ${name}`);
  } else
    for (const [flag, value] of Object.entries({ certificates: folder, store }))
      if (!path.isAbsolute(value ?? ''))
        problems.push(`--${flag}: got ${value ?? 'none'}, expected a whole path where nats-server runs`);
  const [ca, certificate, key] = names.map((name) => path.resolve(folder, name));
  return { ca, certificate, key };
}

/** HOST:PORT, or null: none. */
function readMonitor({ monitor, 'monitor-port': given }, problems) {
  const port = given ?? '8222';
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    problems.push(`--monitor-port: got ${port}, expected a whole number from 0 to 65535`);
  if (monitor !== undefined && given !== undefined) problems.push('--monitor and --monitor-port: got both');
  if (monitor === undefined) return port === '0' ? null : `127.0.0.1:${port}`;
  if (!isHostAndPort(monitor)) problems.push(`--monitor: got ${monitor}, expected HOST:PORT`);
  return monitor;
}

function isHostAndPort(text) {
  const port = /^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

runScript('make-nats-config', main);
