// The container "reload" beside nats-server: its own command, on a real server whose certificate is renewed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';
import { Releases } from '../../../shared/lifecycle.ts';
import { Certificates } from '../../support/certificates.ts';
import { find, readRendered } from '../../support/kubernetes/objects.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { until } from '../../support/until.ts';

const releases = new Releases();
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-reload-'));
releases.add(() => rmSync(folder, { recursive: true }));
const first = new Certificates(['127.0.0.1']);
releases.add(() => first.remove());
const renewed = new Certificates(['127.0.0.1'], first);
releases.add(() => renewed.remove());
after(() => releases.run());

const at = (name: string) => path.join(folder, name);

function mount(certificates: Certificates): void {
  copyFileSync(certificates.path('ca.pem'), at('ca.crt'));
  copyFileSync(certificates.path('nats.pem'), at('tls.crt'));
  copyFileSync(certificates.path('nats-key.pem'), at('tls.key'));
}

let server: NatsServer;
before(async () => {
  mount(first);
  writeFileSync(
    at('nats.conf'),
    `tls { cert_file: "${at('tls.crt')}", key_file: "${at('tls.key')}", ca_file: "${at('ca.crt')}" }\n`,
  );
  server = await NatsServer.start({ configFile: at('nats.conf'), scheme: 'tls' });
  releases.add(() => server.remove());
  writeFileSync(at('nats.pid'), `${server.pid}`);
});

/** The certificate that the server presents to a new connection. */
async function presented(): Promise<string> {
  const socket = net.connect(server.port, '127.0.0.1');
  // TLS begins after the greeting.
  await once(socket, 'data');
  const secure = tls.connect({ socket, ca: readFileSync(first.path('ca.pem')), host: '127.0.0.1' });
  await once(secure, 'secureConnect');
  const { serialNumber } = secure.getPeerX509Certificate()!;
  secure.destroy();
  return serialNumber;
}

test('a renewed certificate is presented without a restart, and nothing is signalled before', async () => {
  const { containers } = find(readRendered('gpu'), 'StatefulSet', 'nats').spec!.template!.spec;
  const [program, flag, script] = containers.find(({ name }) => name === 'reload')!.command!;
  assert.deepEqual([program, flag], ['sh', '-c']);
  const output: string[] = [];
  const reload = spawn(program, [flag, script, 'reload', at('nats.pid'), folder, '0.05'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  releases.add(async () => {
    const ended = once(reload, 'exit');
    reload.kill();
    await ended;
  });
  reload.stdout.on('data', (data) => output.push(`${data}`));
  const before = await presented();
  const { pid } = server;
  // Many times the period at which it looks.
  await pause(500);
  assert.deepEqual(output, []);
  mount(renewed);
  await until('the new certificate', async () => (await presented()) !== before);
  assert.equal(server.pid, pid);
  // Twice where it read one file before they were changed and another one after: that costs nothing.
  const lines = output.join('').trim().split('\n');
  assert.ok(lines.length <= 2 && lines.every((line) => /^certificates have changed/.test(line)), output.join(''));
});
