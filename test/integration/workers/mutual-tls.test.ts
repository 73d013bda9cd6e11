// Mutual TLS between a pool and workers: who is served, who is refused and in which words, and certificates that are
// renewed while both sides run.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { after, afterEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls, type PeerCertificate } from 'node:tls';
import {
  Channel,
  type ChannelCredentials,
  credentials,
  makeClientConstructor,
  Server,
  ServerCredentials,
} from '@grpc/grpc-js';
import { Scheduler } from '../../../coordinator/workers/scheduler.ts';
import { type WorkerEvent, WorkerPool } from '../../../coordinator/workers/worker-pool.ts';
import { type EspalierError, toEspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { createLog } from '../../../shared/log.ts';
import { connectWorker } from '../../../shared/rpc/channel.ts';
import { protocol, type WorkerDescription } from '../../../shared/rpc/protocol.ts';
import { fromStatus } from '../../../shared/rpc/status.ts';
import { Tls, type TlsOptions } from '../../../shared/rpc/tls.ts';
import type { TlsFiles } from '../../../shared/rpc/tls-files.ts';
import { Certificates } from '../../support/certificates.ts';
import { type FakeRun, type FakeWorker, startFakeWorker } from '../../support/fake-executor.ts';
import { shardTasks, squares } from '../../support/fake-tasks.ts';
import { gate, until } from '../../support/until.ts';

const ours = new Certificates(['127.0.0.1']);
const theirs = new Certificates(['127.0.0.1']);
after(() => {
  ours.remove();
  theirs.remove();
});

let releases = new Releases();
let logged = '';
afterEach(async () => {
  await releases.run();
  releases = new Releases();
  assert.doesNotMatch(logged, /PRIVATE KEY/);
  logged = '';
});

async function openTls(files: TlsFiles, role: 'worker' | 'coordinator', options: TlsOptions = {}): Promise<Tls> {
  const tls = await Tls.open(files, role, options);
  releases.add(() => tls.close());
  return tls;
}

async function tlsWorker(files = ours.of('worker'), options: TlsOptions = {}, run?: FakeRun): Promise<FakeWorker> {
  const log = createLog({}, (line) => {
    logged += line;
  });
  const worker = await startFakeWorker({ tls: await openTls(files, 'worker', options), log, ...(run && { run }) });
  releases.add(() => worker.close());
  return worker;
}

async function plainWorker(): Promise<FakeWorker> {
  const worker = await startFakeWorker();
  releases.add(() => worker.close());
  return worker;
}

/** A server with TLS that is no worker of ours, as a mistaken or hostile one. */
async function strangeServer({ certificate, key }: TlsFiles, ca: string): Promise<string> {
  const server = new Server();
  const pair = { private_key: readFileSync(key), cert_chain: readFileSync(certificate) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(readFileSync(ca), [pair], true), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  releases.add(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}

function poolFor(addresses: readonly string[], tls: Tls | null) {
  const events: WorkerEvent[] = [];
  const pool = new WorkerPool({ addresses, tlsFor: () => tls, onEvent: (event) => events.push(event) });
  releases.add(() => pool.close());
  const scheduler = new Scheduler(pool);
  releases.add(() => scheduler.close());
  return { pool, scheduler, events };
}

/** What keeps a coordinator from the only worker. */
async function refusalOf(address: string, tls: Tls | null): Promise<EspalierError> {
  const { pool } = poolFor([address], tls);
  try {
    await pool.ready();
  } catch (caught) {
    return toEspalierError(caught);
  }
  throw new Error('expected a refusal, got a worker');
}

/** Asks a worker what it is, with credentials that our own code would not make. */
async function ask(
  port: number,
  channelCredentials: ChannelCredentials,
  service = 'worker',
): Promise<WorkerDescription> {
  const address = `localhost:${port}`;
  // The name is not looked at: these tests are about what the server does.
  const channel = new Channel(address, channelCredentials, { 'grpc.use_local_subchannel_pool': 1 });
  releases.add(() => channel.close());
  if (service === 'health') return askHealth(address, channelCredentials, channel);
  const client = new (protocol().Worker)(address, channelCredentials, { channelOverride: channel });
  return new Promise((resolve, reject) => {
    client.describe({}, { deadline: Date.now() + 5_000 }, (error, answer) =>
      answer === undefined ? reject(fromStatus(error, address)) : resolve(answer),
    );
  });
}

function askHealth(
  address: string,
  channelCredentials: ChannelCredentials,
  channel: Channel,
): Promise<WorkerDescription> {
  const bytes = { requestSerialize: () => Buffer.alloc(0), requestDeserialize: (data: Buffer) => data };
  const reply = { responseSerialize: (data: Buffer) => data, responseDeserialize: (data: Buffer) => data };
  const check = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    ...bytes,
    ...reply,
  };
  const Health = makeClientConstructor({ check }, 'Health');
  const client = new Health(address, channelCredentials, { channelOverride: channel });
  return new Promise((resolve, reject) => {
    client.check({}, (error: Error | null, answer: WorkerDescription) => (error ? reject(error) : resolve(answer)));
  });
}

function credentialsOf({ ca, certificate, key }: TlsFiles): ChannelCredentials {
  const [root, own, secret] = [ca, certificate, key].map((file) => readFileSync(file));
  return credentials.createSsl(root, secret, own, { checkServerIdentity: () => undefined });
}

test('a worker and a coordinator of one authority work together, health included', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  releases.add(() => void process.off('warning', onWarning));
  const workers = [await tlsWorker(), await tlsWorker()];
  const coordinator = await openTls(ours.of('coordinator'), 'coordinator');
  const { pool, scheduler } = poolFor(
    workers.map(({ address }) => address),
    coordinator,
  );
  await pool.ready();
  const results = await scheduler.runTasks(shardTasks(20));
  assert.deepEqual(
    squares(results),
    Array.from({ length: 20 }, (_, i) => i * i),
  );
  assert.deepEqual(warnings, []);
});

test('an aborted run reaches the task through the check of roles', async () => {
  const aborted = gate();
  const worker = await tlsWorker(ours.of('worker'), {}, async (_, signal) => {
    signal.addEventListener('abort', aborted.open);
    await aborted.opened;
    throw signal.reason;
  });
  const { pool, scheduler } = poolFor([worker.address], await openTls(ours.of('coordinator'), 'coordinator'));
  await pool.ready();
  const abort = new AbortController();
  const running = scheduler.runTasks(shardTasks(1), { signal: abort.signal });
  await until('it computes', () => worker.executor.isComputing);
  abort.abort();
  await assert.rejects(running, { code: 'cancelled' });
  await until('it has stopped', () => !worker.executor.isComputing);
});

test('workers with TLS and without can serve one job', async () => {
  const [plain, secure] = [await plainWorker(), await tlsWorker()];
  const tls = await openTls(ours.of('coordinator'), 'coordinator');
  const tlsFor = (address: string) => (address === secure.address ? tls : null);
  const pool = new WorkerPool({ addresses: [plain.address, secure.address], tlsFor });
  releases.add(() => pool.close());
  await pool.ready();
  assert.equal(pool.workers.length, 2);
});

test('a peer without a certificate gets no connection', async () => {
  const { port, executor } = await tlsWorker();
  const ca = readFileSync(ours.path('ca.pem'));
  const open = credentials.createSsl(ca, null, null, { checkServerIdentity: () => undefined });
  await assert.rejects(ask(port, open), { code: 'worker_unavailable', message: /certificate required/ });
  await assert.rejects(ask(port, open, 'health'), /certificate required/);
  assert.deepEqual(executor.started, []);
});

test('nor one with a certificate of another authority, or an expired one', async () => {
  const { port } = await tlsWorker();
  const ca = ours.path('ca.pem');
  for (const files of [{ ...theirs.of('coordinator'), ca }, ours.expired('coordinator')])
    for (const service of ['worker', 'health'])
      await assert.rejects(ask(port, credentialsOf(files), service), /Failed to connect/);
});

test('a peer with another role is told so, and may ask for health', async () => {
  const { port } = await tlsWorker();
  for (const [files, got] of [
    [ours.of('worker'), 'role worker'],
    [ours.named('coordinator', 'URI:espalier:role:reader,URI:espalier:role:writer'), 'role reader, writer'],
    [ours.named('coordinator', 'DNS:coordinator'), 'no role'],
  ] as const) {
    await assert.rejects(ask(port, credentialsOf(files)), ({ code, message, exitCode, retryable }: EspalierError) => {
      assert.deepEqual([code, exitCode, retryable], ['wrong_role', 6, false]);
      assert.match(message, new RegExp(`^127\\.0\\.0\\.1:\\d+: got a certificate with ${got}, expected coordinator$`));
      return true;
    });
    await ask(port, credentialsOf(files), 'health');
  }
  assert.match(logged, /"message":"peer refused","method":"\/espalier\.v1\.Worker\/Describe"/);
  assert.ok(await ask(port, credentialsOf(ours.of('coordinator'))), 'the control');
});

test('a coordinator says what is wrong with the worker', async () => {
  const coordinator = await openTls(ours.of('coordinator'), 'coordinator');
  const [ca, trust] = [
    ours.path('ca.pem'),
    "the worker's certificate is not signed by an authority that this side trusts",
  ];
  const wrongHost = 'got a certificate for worker1.example, expected one for 127.0.0.1';
  const elsewhere = new Certificates(['worker1.example'], ours);
  releases.add(() => elsewhere.remove());
  const cases = [
    [(await tlsWorker(theirs.of('worker'))).address, 'tls', trust],
    [await strangeServer(ours.expired('worker'), ca), 'tls', "the worker's certificate has expired"],
    [(await tlsWorker(elsewhere.of('worker'))).address, 'tls', wrongHost],
    [(await plainWorker()).address, 'tls', 'the worker does not speak TLS, this side does'],
    [
      await strangeServer(ours.of('worker'), theirs.path('ca.pem')),
      'tls',
      'the worker does not accept this certificate, which has expired or is not signed by an authority that it trusts',
    ],
    [
      await strangeServer(ours.of('coordinator'), ca),
      'wrong_role',
      'the worker: got a certificate with role coordinator, expected worker',
    ],
  ] as const;
  const refusals = await Promise.all(cases.map(([address]) => refusalOf(address, coordinator)));
  assert.deepEqual(
    refusals.map(({ code, message, exitCode }) => [code, message, exitCode]),
    cases.map(([address, code, message]) => [code, `${address}: ${message}`, 6]),
  );
});

test('without TLS a worker that has it cannot be used, and the message says why', async () => {
  const { address } = await tlsWorker();
  const error = await refusalOf(address, null);
  assert.equal(error.code, 'tls');
  assert.equal(
    error.message,
    `${address}: the worker ends every connection at once, as one with TLS does when the other side has none`,
  );
});

test('a refused worker among others costs a notice', async () => {
  const [good, bad] = [await tlsWorker(), await tlsWorker(theirs.of('worker'))];
  const { pool, events } = poolFor([good.address, bad.address], await openTls(ours.of('coordinator'), 'coordinator'));
  await pool.ready();
  assert.equal(pool.workers.length, 1);
  const notices = events.flatMap((event) => (event.kind === 'notice' ? [event.text] : []));
  assert.equal(notices.length, 1);
  assert.ok(notices[0].startsWith(`[tls] ${bad.address}: the worker's certificate is not signed`), notices[0]);
});

test('renewed certificates are used for new connections, on both sides, and standing ones stay', async () => {
  const before = new Certificates(['127.0.0.1'], ours);
  releases.add(() => before.remove());
  const renewals: Date[] = [];
  const worker = await tlsWorker(before.of('worker'), { reloadMs: 10, onReload: (validTo) => renewals.push(validTo) });
  const coordinator = await openTls(before.of('coordinator'), 'coordinator', {
    reloadMs: 10,
    onReload: (validTo) => renewals.push(validTo),
  });
  const { pool, scheduler } = poolFor([worker.address], coordinator);
  await pool.ready();
  const [standing] = pool.workers;
  const first = await presented(worker.port, before.of('coordinator'));

  // The whole authority changes: what connects from now on shows whether each side has followed.
  const files = ['ca.pem', 'worker.pem', 'worker-key.pem', 'coordinator.pem', 'coordinator-key.pem'];
  before.replaceBy(theirs, files);
  await until('both have noticed', () => renewals.length === 2);
  const second = await presented(worker.port, theirs.of('coordinator'));
  assert.notEqual(second.fingerprint256, first.fingerprint256);
  await assert.rejects(ask(worker.port, credentialsOf(ours.of('coordinator'))), 'the old authority is not trusted now');

  assert.deepEqual(squares(await scheduler.runTasks(shardTasks(3))), [0, 1, 4]);
  assert.equal(pool.workers[0], standing, 'the connection was never lost');
  const connection = connectWorker(worker.address, coordinator);
  releases.add(() => connection.close());
  await new Promise<void>((resolve, reject) => {
    connection.worker.describe({}, { deadline: Date.now() + 5_000 }, (error) => (error ? reject(error) : resolve()));
  });
});

test('files that are found wrong later are told of once and change nothing', async () => {
  const files = new Certificates(['127.0.0.1'], ours);
  releases.add(() => files.remove());
  const problems: EspalierError[] = [];
  const worker = await tlsWorker(files.of('worker'), { reloadMs: 5, onProblem: (error) => problems.push(error) });
  const first = await presented(worker.port, ours.of('coordinator'));
  // A renewal that has come half way: the certificate without its key.
  const next = new Certificates(['127.0.0.1'], ours);
  releases.add(() => next.remove());
  files.replaceBy(next, ['worker.pem']);
  await until('it is told', () => problems.length > 0);
  await pause(50);
  assert.equal((await presented(worker.port, ours.of('coordinator'))).fingerprint256, first.fingerprint256);
  assert.deepEqual(
    problems.map(({ code, message }) => [code, message]),
    [
      [
        'tls',
        `${files.path('worker-key.pem')}: got a key that does not belong to the certificate ${files.path('worker.pem')}`,
      ],
    ],
  );
  files.replaceBy(next, ['worker-key.pem']);
  let last = first;
  for (let tries = 0; tries < 200 && last.fingerprint256 === first.fingerprint256; tries += 1) {
    await pause(10);
    last = await presented(worker.port, ours.of('coordinator'));
  }
  assert.notEqual(last.fingerprint256, first.fingerprint256);
});

test('garbage on the port of a worker with TLS does no harm', async () => {
  const { port, address } = await tlsWorker();
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\xff\xff'.repeat(100), '\0'.repeat(10_000)]) {
    const socket = connectPlain(port, '127.0.0.1');
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.end(bytes, 'latin1');
    socket.resume();
    await closed;
  }
  const { pool } = poolFor([address], await openTls(ours.of('coordinator'), 'coordinator'));
  await pool.ready();
});

/** The certificate that the server shows to a peer with these files. */
function presented(port: number, { ca, certificate, key }: TlsFiles): Promise<PeerCertificate> {
  const [root, cert, secret] = [ca, certificate, key].map((file) => readFileSync(file));
  return new Promise((resolve, reject) => {
    const options = { ca: root, cert, key: secret, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined };
    const socket = connectTls({ host: '127.0.0.1', port, ...options }, () => {
      resolve(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.once('error', reject);
  });
}
