#!/usr/bin/env node
// Makes what a nats-server for Espalier needs: its configuration, and a key for each kind of process with no more rights
// than it uses (permissions.mjs). Nothing that is there is ever overwritten.

import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeNewFiles, Problem, runScript } from '../new-files.mjs';
import { makeUserKey } from './nkey.mjs';
import { USERS } from './permissions.mjs';

const HELP = `Usage: node deploy/nats/make-nats-config.mjs --out DIR --certificates DIR [options]

Writes nats.conf, and the keys coordinator.nk, worker.nk and admin.nk: give each process its own as --nats-credentials.

  --out DIR           folder to write; made where it is missing
  --certificates DIR  has ca.pem, nats.pem and nats-key.pem, as deploy/make-certificates.mjs makes them; whoever connects
                      needs a certificate of that authority too
  --insecure          in its place: no TLS, for networks where everybody is trusted
  --listen HOST:PORT  address to serve (default: 127.0.0.1:4222)
  --monitor-port N    port on 127.0.0.1 for nats-server's own pages, /healthz among them (default: 8222; 0: none)
  --store DIR         folder of its data (default: store in --out)
  --store-gb N        how much all streams together may take on disk, 1 to 1000000 (default: 110, which is enough for
                      coordinators with --store-limit-gb 100)

Example:
  node deploy/nats/make-nats-config.mjs --out nats --certificates certificates --listen 0.0.0.0:4222
  nats-server -c nats/nats.conf
`;

function main() {
  const settings = readFlags();
  if (settings === null) {
    process.stdout.write(HELP);
    return;
  }
  const names = [...Object.keys(USERS).map((user) => `${user}.nk`), 'nats.conf'];
  makeNewFiles(
    settings.out,
    names,
    (name) => name.endsWith('.nk'),
    (folder) => {
      const keys = Object.fromEntries(Object.keys(USERS).map((user) => [user, makeUserKey()]));
      for (const [user, { seed }] of Object.entries(keys))
        fs.writeFileSync(path.join(folder, `${user}.nk`), `${seed}\n`);
      fs.writeFileSync(path.join(folder, 'nats.conf'), configuration(settings, keys));
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
    insecure: flag,
    listen: text,
    store: text,
    'store-gb': text,
    'monitor-port': text,
  };
  let values;
  try {
    ({ values } = parseArgs({ options: { ...options, help: flag } }));
  } catch (error) {
    throw new Problem(`${error.message}; see --help`);
  }
  if (values.help) return null;
  const { out, certificates = null, insecure = false, listen = '127.0.0.1:4222' } = values;
  const { 'store-gb': storeGb = '110', 'monitor-port': monitorPort = '8222' } = values;
  const problems = [];
  if (!out) problems.push('--out DIR: missing');
  if ((certificates !== null) === insecure) problems.push('--certificates DIR or --insecure: got both or none');
  for (const name of certificates === null ? [] : ['ca.pem', 'nats.pem', 'nats-key.pem'])
    if (!fs.existsSync(path.join(certificates, name)))
      problems.push(`--certificates: got ${certificates}, which has no ${name}`);
  const port = /^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(listen)?.[1];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535)
    problems.push(`--listen: got ${listen}, expected HOST:PORT`);
  if (!/^\d{1,7}$/.test(storeGb) || Number(storeGb) < 1 || Number(storeGb) > 1_000_000)
    problems.push(`--store-gb: got ${storeGb}, expected a whole number from 1 to 1000000`);
  if (!/^\d{1,5}$/.test(monitorPort) || Number(monitorPort) > 65_535)
    problems.push(`--monitor-port: got ${monitorPort}, expected a whole number from 0 to 65535`);
  if (problems.length > 0) throw new Problem(`${problems.join('; ')}; see --help`);
  return {
    out,
    certificates,
    listen,
    monitorPort,
    storeGb,
    store: path.resolve(values.store ?? path.join(out, 'store')),
  };
}

// A quoted text of nats-server's configuration is written as in JSON.
const quote = (text) => JSON.stringify(text);

function configuration({ certificates, listen, monitorPort, store, storeGb }, keys) {
  const file = (name) => quote(path.resolve(certificates, name));
  const tls = `tls {
  cert_file: ${certificates && file('nats.pem')}
  key_file: ${certificates && file('nats-key.pem')}
  ca_file: ${certificates && file('ca.pem')}
  verify: true
}
`;
  const users = Object.entries(USERS).map(([name, { publish, subscribe }]) => {
    const { publicKey } = keys[name];
    return `    # ${name}
    {
      nkey: ${publicKey}
      permissions {
        publish { allow: [${publish.map(quote).join(', ')}] }
        subscribe { allow: [${[...subscribe, `_INBOX_${publicKey}.>`].map(quote).join(', ')}] }
      }
    }`;
  });
  return `# Made by deploy/nats/make-nats-config.mjs.
listen: ${quote(listen)}
${
  monitorPort === '0'
    ? ''
    : `http: "127.0.0.1:${monitorPort}"
`
}max_payload: 1MB
jetstream {
  store_dir: ${quote(store)}
  max_file_store: ${storeGb}000000000
  max_memory_store: 256MB
}
${certificates === null ? '' : tls}authorization {
  users = [
${users.join('\n')}
  ]
}
`;
}

runScript('make-nats-config', main);
