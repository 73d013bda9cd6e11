// What the health ports of real processes say: while they start up, serve and drain.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Releases } from '../../../shared/lifecycle.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { freePorts } from '../../support/free-ports.ts';
import { type HealthClient, healthClient } from '../../support/health-client.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { workersOf } from '../../support/processes.ts';
import { until } from '../../support/until.ts';

let server: NatsServer;
let folder: string;
let releases = new Releases();
before(async () => {
  server = await NatsServer.start();
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-health-'));
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await server?.remove();
  await rm(folder, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly port: number;
  readonly health: HealthClient;
  /** Ports of gRPC that the log has told of. */
  serving(): number[];
  log(): string;
}

async function started(program: 'coordinator' | 'worker', ...flags: string[]): Promise<Started> {
  const [port] = await freePorts(1);
  const own = ['--port=0', '--metrics-port=0', '--nats', server.url, `--health-port=${port}`];
  const file = path.join(projectRoot(), `dist/${program}/main.js`);
  const child = spawn(process.execPath, [file, ...own, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const health = healthClient(port!);
  releases.add(() => {
    health.close();
    child.kill('SIGKILL');
  });
  const serving = () => [...log.matchAll(/"message":"serving".*?"port":(\d+)/g)].map(([, served]) => Number(served));
  return { child, port: port!, health, serving, log: () => log };
}

const both = async ({ health }: Started) => [await health.check(''), await health.check('ready')].join(' ');
const serves = (process: Started) =>
  until('it is ready', async () => (await both(process)) === 'SERVING SERVING', 60_000);

/** Keeps a process that drains until the end of its time: it waits for those who watch its health over its own port. */
async function watchOn(port: number): Promise<void> {
  const client = healthClient(port);
  releases.add(() => client.close());
  const watch = client.watch('');
  await until('the watch', () => watch.told.length === 1);
}

test('a coordinator is alive before NATS is there, ready with it, and not while it drains', async () => {
  await server.stop('SIGTERM');
  const cache = path.join(folder, 'coordinator');
  const coordinator = await started('coordinator', '--cache-dir', cache, '--store-limit-gb=1', '--lease-seconds=2');
  await until('it is alive', async () => (await both(coordinator)) === 'SERVING NOT_SERVING', 20_000);
  await server.start();
  await serves(coordinator);

  // With NATS frozen, jobs and the lease cannot be handed back: it drains for as long as it may.
  server.freeze();
  releases.add(() => server.thaw());
  coordinator.child.kill('SIGTERM');
  await until('it drains', () => coordinator.log().includes('"message":"draining"'));
  assert.equal(await both(coordinator), 'SERVING NOT_SERVING');
  coordinator.child.kill('SIGTERM');
  await once(coordinator.child, 'exit');
  assert.equal(await coordinator.health.check(''), 'UNAVAILABLE');
});

test('a worker is alive before its engine serves, ready then, and not while NATS is away or it drains', async () => {
  const blobs = path.join(folder, 'worker');
  const worker = await started('worker', '--device=cpu', '--blob-dir', blobs, '--drain-seconds=3');
  await until('it is alive', async () => (await worker.health.check('')) === 'SERVING', 20_000);
  const early = await both(worker);
  assert.ok(worker.serving().length > 0 || early === 'SERVING NOT_SERVING', early);
  await serves(worker);
  const asked = (...words: string[]) =>
    spawnSync(process.execPath, [path.join(projectRoot(), 'cli/espalier.mjs'), 'health', ...words], {
      encoding: 'utf8',
    });
  const address = `127.0.0.1:${worker.port}`;
  for (const words of [[address], [address, '--service', 'ready']]) {
    const { status, stdout, stderr } = asked(...words);
    assert.deepEqual([status, stdout, stderr], [0, 'SERVING\n', '']);
  }

  await server.stop();
  await until('it has noticed', async () => (await both(worker)) === 'SERVING NOT_SERVING');
  const { status, stderr } = asked(address, '--service', 'ready');
  assert.equal(status, 1);
  assert.match(stderr, /^espalier: \[not_serving\] 127\.0\.0\.1:\d+: got NOT_SERVING, expected SERVING; see .*\n$/);
  await server.start();
  await serves(worker);

  await watchOn(worker.serving()[0]!);
  worker.child.kill('SIGTERM');
  await until('it drains', () => worker.log().includes('"message":"draining"'));
  assert.equal(await both(worker), 'SERVING NOT_SERVING');
  assert.deepEqual(await once(worker.child, 'exit'), [0, null], worker.log());
});

test('a supervisor is ready while one of its workers is', async () => {
  const flags = ['--device=cpu', '--blob-dir', path.join(folder, 'supervised'), '--drain-seconds=3', '--workers=2'];
  const supervisor = await started('worker', ...flags);
  await until('it is alive', async () => (await both(supervisor)) === 'SERVING NOT_SERVING', 20_000);
  await until('both serve', () => supervisor.serving().length === 2, 60_000);
  await serves(supervisor);
  const [first] = workersOf(supervisor.child.pid!);
  process.kill(first!, 'SIGKILL');
  await until('it is missed', () => supervisor.log().includes('"message":"worker ended"'));
  assert.equal(await both(supervisor), 'SERVING SERVING', 'the other serves');
  for (const pid of workersOf(supervisor.child.pid!)) process.kill(pid, 'SIGKILL');
  await until('none serves', async () => (await both(supervisor)) === 'SERVING NOT_SERVING');
  await serves(supervisor);

  await server.stop();
  await until('workers tell that NATS is away', async () => (await both(supervisor)) === 'SERVING NOT_SERVING');
  await server.start();
  await serves(supervisor);

  await watchOn(supervisor.serving().at(-1)!);
  supervisor.child.kill('SIGTERM');
  await until('it drains', () => supervisor.log().includes('"message":"draining"'));
  assert.equal(await both(supervisor), 'SERVING NOT_SERVING');
  assert.deepEqual(await once(supervisor.child, 'exit'), [0, null], supervisor.log());
});
