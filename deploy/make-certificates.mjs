#!/usr/bin/env node
// Makes certificates for development and small set-ups: an authority, and of it a certificate for each kind of process
// and of user, with its role (docs/adr/0010-mutual-tls.md). Private keys can be read by their owner only. Nothing that is
// there is ever overwritten, and files come to their place when all of them are made.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeAuthority, makeCertificate, ROLES } from './certificates.mjs';
import { makeNewFiles, Problem, runScript } from './new-files.mjs';

const HELP = `Usage: node deploy/make-certificates.mjs --out DIR --host NAME [--host NAME ...] [options]

Writes ca.pem, the certificates worker.pem, coordinator.pem, nats.pem (for nats-server), submit.pem (for users who may
do everything with jobs), read.pem (for those who may only look) and admin.pem (for those who keep NATS, where users are
known by their certificates), and the private key of each as *-key.pem.

  --out DIR         folder to write; made where it is missing
  --host NAME       name or IP address by which workers, coordinators and NATS are reached; repeat it for more
  --authority DIR   sign with the ca.pem and ca-key.pem of this folder instead of making an authority: to renew
  --days N          how long the certificates are valid, 1 to 3650 (default: 365; an authority that is made: 3650)

Example:
  node deploy/make-certificates.mjs --out certificates --host gpu-1.example --host 10.0.0.7
`;

function main() {
  const settings = readFlags();
  if (settings === null) {
    process.stdout.write(HELP);
    return;
  }
  const { out, authority } = settings;
  const names = [...(authority === null ? ['ca-key.pem'] : []), 'ca.pem'];
  names.push(...ROLES.flatMap((role) => [`${role}-key.pem`, `${role}.pem`]));
  const isKey = (name) => name.endsWith('-key.pem');
  makeNewFiles(out, names, isKey, (folder) => {
    if (authority === null) makeAuthority(folder);
    else fs.copyFileSync(path.join(authority, 'ca.pem'), path.join(folder, 'ca.pem'));
    for (const role of ROLES) makeCertificate(folder, role, authority ?? folder, settings);
  });
}

/** The checked flags, or null when help was asked for. @throws Problem that tells of everything at once. */
function readFlags() {
  const text = { type: 'string' };
  const options = { out: text, host: { ...text, multiple: true }, authority: text, days: text };
  let values;
  try {
    ({ values } = parseArgs({ options: { ...options, help: { type: 'boolean' } } }));
  } catch (error) {
    throw new Problem(`${error.message}; see --help`);
  }
  if (values.help) return null;
  const { out, host: hosts = [], authority = null, days = '365' } = values;
  const problems = [];
  if (!out) problems.push('--out DIR: missing');
  if (hosts.length === 0) problems.push('--host NAME: missing');
  for (const host of hosts)
    if (!isHost(host)) problems.push(`--host: got ${host}, expected a host name or an IP address`);
  if (!/^\d{1,4}$/.test(days) || Number(days) < 1 || Number(days) > 3650)
    problems.push(`--days: got ${days}, expected a whole number from 1 to 3650`);
  for (const name of authority === null ? [] : ['ca.pem', 'ca-key.pem'])
    if (!fs.existsSync(path.join(authority, name)))
      problems.push(`--authority: got ${authority}, which has no ${name}`);
  if (problems.length > 0) throw new Problem(`${problems.join('; ')}; see --help`);
  return { out, hosts, authority, days };
}

/** Names end up in a file that openssl reads as settings: nothing but letters, digits, dots and hyphens. */
function isHost(text) {
  return net.isIP(text) !== 0 || /^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(text);
}

runScript('make-certificates', main);
