// Certificates that are renewed by swapping a link, as Kubernetes does with a mounted Secret: whoever serves presents the new
// ones, and NATS gets them with the next connection.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, test } from 'node:test';
import { connect } from 'node:tls';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import type { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { Tls } from '../../../shared/rpc/tls.ts';
import type { TlsFiles } from '../../../shared/rpc/tls-files.ts';
import { Certificates } from '../../support/certificates.ts';
import { startFakeWorker } from '../../support/fake-executor.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { SecretVolume } from '../../support/secret-volume.ts';
import { until } from '../../support/until.ts';

const first = new Certificates(['127.0.0.1', 'localhost']);
const second = new Certificates(['127.0.0.1', 'localhost']);
after(() => {
  first.remove();
  second.remove();
});
let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

function mounted(files: TlsFiles): SecretVolume {
  const volume = new SecretVolume(files);
  releases.add(() => volume.remove());
  return volume;
}

/** Fingerprint of what the server presents to a peer with these files; it trusts both authorities. */
function presented(port: number, { ca, certificate, key }: TlsFiles): Promise<string> {
  const options = { ca: readFileSync(ca), cert: readFileSync(certificate), key: readFileSync(key) };
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ...options, ALPNProtocols: ['h2'], rejectUnauthorized: false });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
  });
}

test('a server follows the link, again and again', async () => {
  const volume = mounted(first.of('worker'));
  const problems: EspalierError[] = [];
  let renewals = 0;
  const tls = await Tls.open(volume.files, 'worker', {
    reloadMs: 10,
    onReload: () => (renewals += 1),
    onProblem: (error) => problems.push(error),
  });
  releases.add(() => tls.close());
  const worker = await startFakeWorker({ tls });
  releases.add(() => worker.close());
  const shown = [await presented(worker.port, first.of('coordinator'))];
  for (const [i, authority] of [second, first].entries()) {
    volume.replace(authority.of('worker'));
    await until('it has noticed', () => renewals === i + 1);
    shown.push(await presented(worker.port, authority.of('coordinator')));
  }
  assert.notEqual(shown[1], shown[0]);
  assert.equal(shown[2], shown[0]);
  // A swap in the middle of three reads is seen as files that do not fit, and settled by the next look.
  assert.ok(problems.length <= 2, JSON.stringify(problems.map(({ message }) => message)));
});

test('a connection to NATS that comes back presents what is there then, and trusts what is there then', async () => {
  const [own, natsOwn] = [mounted(first.of('worker')), mounted(first.of('nats'))];
  const config = path.join(natsOwn.folder, 'nats.conf');
  const { ca, certificate, key } = natsOwn.files;
  const files = Object.entries({ ca_file: ca, cert_file: certificate, key_file: key });
  const lines = files.map(([name, file]) => `${name}: ${JSON.stringify(file)}`);
  writeFileSync(config, `tls { ${lines.join(', ')}, verify: true }\n`);
  const server = await NatsServer.start({ configFile: config, scheme: 'tls' });
  releases.add(() => server.remove());
  const bus = await connectBus(server.settings({ tls: own.files }), { create: false });
  releases.add(() => bus.close());
  // All of it changes, the authority as well: with what either side had before nobody could connect.
  for (const [volume, role] of [
    [own, 'worker'],
    [natsOwn, 'nats'],
  ] as const)
    volume.replace(second.of(role));
  let reconnects = 0;
  releases.add(bus.onReconnect(() => (reconnects += 1)));
  await server.restart();
  await until('the connection', () => reconnects === 1 && bus.isConnected, 20_000);
  await assert.rejects(
    connectBus(server.settings({ tls: first.of('worker') }), { connectMs: 500 }),
    ({ code }: EspalierError) => code === 'tls' || code === 'bus_unavailable',
    'the control',
  );
});
