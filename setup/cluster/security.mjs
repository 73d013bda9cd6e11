// What the processes of a cluster on this machine prove to each other: nothing on the loopback address, or, with --tls, who
// they are: certificates for gRPC and NATS, and a key of NATS for each kind of process.

import fs from 'node:fs';
import path from 'node:path';
import { captureOrFail } from '../run-command.mjs';

const HOSTS = ['localhost', '127.0.0.1'];

/** @returns flags for each kind of process, the address of NATS, its configuration file (null: one without any of this), and
 * the environment of users, by the names of its variables. */
export function withoutTls({ natsPort }) {
  return {
    flags: { coordinator: [], worker: [] },
    natsUrl: `nats://127.0.0.1:${natsPort}`,
    natsConfig: null,
    userEnv: {},
  };
}

/** Makes certificates where there are none yet: users keep the paths. Keys of NATS are made anew with every start.
 * @throws SetupProblem with the reason of the script that failed. */
export async function withTls(context, folder, { natsPort, storeGb }) {
  const { root, env, signal } = context;
  const certificates = path.join(folder, 'certificates');
  const secrets = path.join(folder, 'nats-secrets');
  const script = (purpose, file, args) =>
    captureOrFail(purpose, process.execPath, [path.join(root, file), ...args], { cwd: root, env, signal });
  if (!fs.existsSync(path.join(certificates, 'ca.pem')))
    await script('making certificates', 'deploy/make-certificates.mjs', [
      ...['--out', certificates],
      ...HOSTS.flatMap((host) => ['--host', host]),
    ]);
  fs.rmSync(secrets, { recursive: true, force: true });
  await script('configuring NATS', 'deploy/nats/make-nats-config.mjs', [
    ...['--out', secrets, '--certificates', certificates, '--listen', `127.0.0.1:${natsPort}`, '--monitor-port', '0'],
    ...['--store', path.join(folder, 'nats'), '--store-gb', String(storeGb)],
  ]);
  const file = (name) => path.join(certificates, name);
  const flagsOf = (role) => [
    ...['--tls-ca', file('ca.pem'), '--tls-certificate', file(`${role}.pem`), '--tls-key', file(`${role}-key.pem`)],
    ...['--nats-tls-ca', file('ca.pem'), '--nats-tls-certificate', file(`${role}.pem`)],
    ...['--nats-tls-key', file(`${role}-key.pem`), '--nats-credentials', path.join(secrets, `${role}.nk`)],
  ];
  return {
    flags: { coordinator: flagsOf('coordinator'), worker: flagsOf('worker') },
    natsUrl: `tls://localhost:${natsPort}`,
    natsConfig: path.join(secrets, 'nats.conf'),
    userEnv: {
      ESPALIER_TLS_CA: file('ca.pem'),
      ESPALIER_TLS_CERTIFICATE: file('submit.pem'),
      ESPALIER_TLS_KEY: file('submit-key.pem'),
    },
  };
}
