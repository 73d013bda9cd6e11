// The first step of compose.yaml: certificates for all services, in a folder for each that it alone mounts, under the names
// that Kubernetes gives them. Made once; again, by the same authority, when they end within a month.
//
// usage: node deploy/compose/make-certificates.mjs FOLDER

import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const SCRIPT = path.resolve(import.meta.dirname, '..', 'make-certificates.mjs');
/** Names under which the services reach each other: those of compose.yaml and of k8s/base. */
const HOSTS = ['coordinator', 'nats.espalier.svc', 'worker.espalier.svc', 'localhost'];
const OWNERS = { nats: 'nats', coordinator: 'coordinator', worker: 'worker', user: 'submit' };
const RENEW_MS = 30 * 86_400_000;

const [out] = process.argv.slice(2);
const authority = path.join(out, 'authority');
if (isCurrent()) {
  console.log('certificates: those that are there are good for another month');
} else {
  const isNew = !fs.existsSync(path.join(authority, 'ca-key.pem'));
  const made = path.join(authority, `made-${Date.now()}`);
  const args = [SCRIPT, '--out', made, ...HOSTS.flatMap((host) => ['--host', host])];
  if (!isNew) args.push('--authority', authority);
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  for (const [owner, role] of Object.entries(OWNERS)) {
    put(path.join(made, 'ca.pem'), path.join(out, owner, 'ca.crt'));
    put(path.join(made, `${role}-key.pem`), path.join(out, owner, 'tls.key'));
    put(path.join(made, `${role}.pem`), path.join(out, owner, 'tls.crt'));
  }
  // Last: without the authority's key this counts as never done.
  if (isNew) for (const name of ['ca.pem', 'ca-key.pem']) put(path.join(made, name), path.join(authority, name));
  fs.rmSync(made, { recursive: true });
}

function isCurrent() {
  if (!fs.existsSync(path.join(authority, 'ca-key.pem'))) return false;
  return Object.keys(OWNERS).every((owner) => {
    const file = path.join(out, owner, 'tls.crt');
    return (
      fs.existsSync(file) && Date.parse(new X509Certificate(fs.readFileSync(file)).validTo) - Date.now() > RENEW_MS
    );
  });
}

/** Processes that run take up what was renamed into its place. */
function put(from, to) {
  fs.copyFileSync(from, `${to}.new`);
  fs.renameSync(`${to}.new`, to);
}
