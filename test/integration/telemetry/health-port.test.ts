// The plain gRPC port for probes: what it says, what it refuses, and `espalier health`, which asks it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { Releases } from '../../../shared/lifecycle.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { type HealthPort, startHealthPort } from '../../../shared/rpc/health-port.ts';
import { type HealthClient, healthClient } from '../../support/health-client.ts';
import { until } from '../../support/until.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function opened(isReady: () => boolean = () => true): Promise<HealthPort> {
  const port = await startHealthPort({ host: '127.0.0.1', port: 0, isReady });
  releases.add(() => port.close());
  return port;
}

function asking(port: number): HealthClient {
  const client = healthClient(port);
  releases.add(() => client.close());
  return client;
}

test('alive while it runs, ready while it can work, and no other service', async () => {
  let isReady = false;
  const { port } = await opened(() => isReady);
  const client = asking(port);
  assert.deepEqual([await client.check(''), await client.check('ready')], ['SERVING', 'NOT_SERVING']);
  isReady = true;
  assert.equal(await client.check('ready'), 'SERVING');
  assert.equal(await client.check('espalier.v1.Worker'), 'NOT_FOUND');
});

test('a watch tells of each change; there are few of them, and one that ends makes room', async () => {
  let isReady = true;
  const { port } = await opened(() => isReady);
  const watch = asking(port).watch('ready');
  await until('the first', () => watch.told.length === 1);
  isReady = false;
  await until('the change', () => watch.told.length === 2);
  assert.deepEqual(watch.told, ['SERVING', 'NOT_SERVING']);
  const unknown = asking(port).watch('nothing');
  await until('it is told', () => unknown.told.length === 1);
  assert.deepEqual(unknown.told, ['SERVICE_UNKNOWN']);

  const clients = Array.from({ length: 2 }, () => asking(port));
  const more = clients.flatMap((client) => Array.from({ length: 7 }, () => client.watch('')));
  await until('all are told', () => more.every(({ told }) => told.length === 1));
  const refused = asking(port).watch('');
  await until('it is refused', () => refused.told.length > 0);
  assert.deepEqual(refused.told, ['error: RESOURCE_EXHAUSTED']);
  more[0]!.end();
  const client = asking(port);
  await until('there is room', async () => {
    const again = client.watch('');
    await until('it is answered', () => again.told.length > 0);
    return again.told[0] === 'SERVING';
  });
});

test('long messages are refused, what is no HTTP/2 is cut off, and neither keeps others from asking', async () => {
  const { port } = await opened();
  assert.equal(await asking(port).check('x'.repeat(2_000)), 'RESOURCE_EXHAUSTED');
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  const closed = once(socket, 'close');
  socket.resume();
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await closed;
  assert.equal(await asking(port).check(''), 'SERVING');
});

test('few connections are kept', async () => {
  const { port } = await opened();
  const sockets = Array.from({ length: 80 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  releases.add(() => sockets.forEach((each) => void each.destroy()));
  for (const each of sockets) each.resume();
  const ended = new Set<number>();
  sockets.forEach((each, i) => void each.once('close', () => ended.add(i)));
  await until('those above the limit are cut off', () => ended.size === 16);
  for (const each of sockets) each.destroy();
  await until('there is room', async () => (await asking(port).check('')) === 'SERVING');
});

test('close cuts what stands; a port that is in use is told of in one line', async () => {
  const port = await opened();
  const watch = asking(port.port).watch('');
  await until('it stands', () => watch.told.length === 1);
  await port.close();
  await until('it is cut', () => watch.told.length === 2);
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  releases.add(() => void other.close());
  const taken = (other.address() as { port: number }).port;
  await assert.rejects(startHealthPort({ host: '127.0.0.1', port: taken, isReady: () => true }), {
    code: 'usage',
    message: `health on 127.0.0.1:${taken}: the port is in use`,
    action: 'choose another --health-port, or 0 for none',
  });
});

test('espalier health: one line and exit code 0 or 1', async () => {
  // The command runs while this process waits, so the port is another process's.
  const { status, stdout, stderr } = espalierHealth('127.0.0.1:1', '--service', 'ready');
  assert.deepEqual([status, stdout], [1, '']);
  assert.match(stderr, /^espalier: \[not_serving\] 127\.0\.0\.1:1: got .*, expected SERVING; see what .*\n$/);
  const wrong = espalierHealth('nowhere', '--service', 'well');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /HOST:PORT: got nowhere, expected one; --service: got well, expected alive, ready; see/);
});

function espalierHealth(...words: string[]) {
  const program = path.join(projectRoot(), 'cli/espalier.mjs');
  return spawnSync(process.execPath, [program, 'health', ...words], { encoding: 'utf8' });
}
