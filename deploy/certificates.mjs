// Certificates of an authority of our own, made with openssl: what scripts for development and small set-ups share
// (docs/adr/0010-mutual-tls.md).

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Problem } from './new-files.mjs';

export const ROLES = ['worker', 'coordinator', 'nats', 'submit', 'read', 'admin'];
// Whoever serves is reached by a name.
const SERVERS = ['worker', 'coordinator', 'nats'];
const AUTHORITY_DAYS = 3650;
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Makes ca.pem and ca-key.pem. @throws Problem. */
export function makeAuthority(folder) {
  openssl([
    ...[
      'req',
      '-x509',
      '-sha256',
      ...KEY,
      '-days',
      String(AUTHORITY_DAYS),
      '-subj',
      '/CN=Espalier development authority',
    ],
    ...['-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ...['-keyout', path.join(folder, 'ca-key.pem'), '-out', path.join(folder, 'ca.pem')],
  ]);
}

/** Makes ROLE.pem and ROLE-key.pem. @param authority folder with ca.pem and ca-key.pem. @param hosts names and addresses of
 * whoever serves; users have none. @throws Problem. */
export function makeCertificate(folder, role, authority, { hosts, days }) {
  const file = (ending) => path.join(folder, `${role}${ending}`);
  const names = SERVERS.includes(role) ? hosts.map((host) => `${net.isIP(host) ? 'IP' : 'DNS'}:${host}`) : [];
  fs.writeFileSync(
    file('.ext'),
    [
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature',
      // Both for either: a wrong role is then told in words, and not by a connection that is cut.
      'extendedKeyUsage=serverAuth,clientAuth',
      `subjectAltName=${[`URI:espalier:role:${role}`, ...names].join(',')}`,
      '',
    ].join('\n'),
  );
  openssl([
    'req',
    '-new',
    '-sha256',
    ...KEY,
    '-subj',
    `/CN=espalier ${role}`,
    '-keyout',
    file('-key.pem'),
    '-out',
    file('.csr'),
  ]);
  openssl([
    ...['x509', '-req', '-sha256', '-in', file('.csr'), '-days', days, '-extfile', file('.ext'), '-out', file('.pem')],
    ...['-CA', path.join(authority, 'ca.pem'), '-CAkey', path.join(authority, 'ca-key.pem')],
    ...['-set_serial', `0x01${randomBytes(15).toString('hex')}`],
  ]);
}

function openssl(args) {
  const { status, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (error?.code === 'ENOENT') throw new Problem('openssl is not installed; on Debian: apt-get install openssl');
  if (error) throw new Problem(`openssl: ${error.message}`);
  if (status !== 0) throw new Problem(`openssl ${args[0]} failed: ${stderr.trim().split('\n').at(-1)}`);
}
