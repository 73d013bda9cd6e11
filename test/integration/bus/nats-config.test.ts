// A nats-server with the configuration that deploy/nats makes: TLS on both sides, a key for each kind of process, and no
// more rights than it uses. Also files and peers that are wrong, and how that is told.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import type { Bus, BusSettings } from '../../../shared/bus/bus.ts';
import { type BusOptions, connectBus } from '../../../shared/bus/nats-bus.ts';
import type { BusNotice } from '../../../shared/bus/nats-link.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { watchOwnCertificates } from '../../../shared/telemetry/watch-certificates.ts';
import { WorkerMetrics } from '../../../shared/telemetry/worker-metrics.ts';
import { Certificates } from '../../support/certificates.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { until } from '../../support/until.ts';

const SCRIPT = path.join(projectRoot(), 'deploy/nats/make-nats-config.mjs');

const certificates = new Certificates(['127.0.0.1', 'localhost']);
const strangers = new Certificates(['127.0.0.1']);
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-nats-config-'));
const key = (user: string) => path.join(folder, `${user}.nk`);
let server: NatsServer;
let releases = new Releases();
before(async () => {
  const flags = ['--out', folder, '--certificates', certificates.folder, '--monitor-port', '0', '--store-gb', '200'];
  execFileSync(process.execPath, [SCRIPT, ...flags], { stdio: 'pipe' });
  server = await NatsServer.start({ configFile: path.join(folder, 'nats.conf'), scheme: 'tls' });
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await server?.remove();
  certificates.remove();
  strangers.remove();
  rmSync(folder, { recursive: true });
});

function settingsOf(user: 'coordinator' | 'worker', replaced: Partial<BusSettings> = {}): BusSettings {
  return server.settings({ credentials: key(user), tls: certificates.of(user), ...replaced });
}

async function open(settings: BusSettings, options: BusOptions = {}): Promise<Bus> {
  const bus = await connectBus(settings, { timeoutMs: 2_000, ...options });
  releases.add(() => bus.close());
  return bus;
}

function blob() {
  const content = randomBytes(600_000);
  const digest = createHash('sha256').update(content).digest('hex');
  async function* source(): AsyncGenerator<Uint8Array> {
    yield content;
  }
  return { content, digest, source };
}

const bytes = (text: string) => new TextEncoder().encode(text);

test('a coordinator does all that it has to, with its own rights alone', async () => {
  const refused: BusNotice[] = [];
  const bus = await open(settingsOf('coordinator'), { create: true, onNotice: (notice) => refused.push(notice) });
  const stop = new AbortController();
  releases.add(async () => stop.abort());
  const revision = (await bus.jobs.create('job.1', bytes('a')))!;
  let told = 0;
  await bus.jobs.watch('job.', () => (told += 1), stop.signal);
  await bus.leases.watch('', () => (told += 1), stop.signal);
  assert.equal(told, 1);
  await bus.leases.create('coordinator.1', bytes('l'));
  const updated = (await bus.jobs.update('job.1', bytes('b'), revision))!;
  // A version that is replaced before it was sent is not told.
  await until('the lease and the update', () => told === 3);
  assert.ok(await bus.jobs.delete('job.1', updated));
  assert.equal(await bus.jobs.get('job.1'), null);
  await until('the deletion', () => told === 4);

  await bus.wake.add('job-1');
  const token = (await bus.wake.next(5_000, stop.signal))!;
  token.renew();
  await token.giveBack(0);
  await (await bus.wake.next(5_000, stop.signal))!.done();
  assert.equal(await bus.wake.count(), 0);

  await bus.events.append('job-1', bytes('e'));
  let events = 0;
  const following = bus.events.follow('job-1', 0, () => (events += 1), stop.signal);
  await until('the event', () => events === 1);
  assert.equal((await bus.events.read('job-1', 0, 10)).length, 1);
  await bus.events.remove('job-1');

  const { content, digest, source } = blob();
  await bus.objects.put(digest, content.byteLength, source());
  let got = 0;
  for await (const chunk of bus.objects.open(digest)) got += chunk.byteLength;
  assert.equal(got, content.byteLength);
  for await (const object of bus.objects.list()) assert.equal(object.digest, digest);
  assert.equal(await bus.objects.removeOrphans(0), 0);
  assert.ok((await bus.objects.usage()).bytes > content.byteLength);
  assert.equal(await bus.objects.delete(digest), true);
  stop.abort();
  await following;
  // A second one finds everything there, and may change the limits.
  await open(settingsOf('coordinator'), { create: true, limits: { storeBytes: 50e9 } });
  assert.deepEqual(refused, []);
});

test('a worker says that it is there and reads objects, and may do nothing else', async () => {
  const coordinator = await open(settingsOf('coordinator'), { create: true });
  const notices: BusNotice[] = [];
  const worker = await open(settingsOf('worker'), { timeoutMs: 1_000, onNotice: (notice) => notices.push(notice) });
  const heard: string[] = [];
  releases.add(async () => stopHearing());
  const stopHearing = coordinator.subscribe('espalier.worker.>', (subject) => heard.push(subject));
  // The subscription is there when something that was asked after it is answered.
  await coordinator.jobs.get('job.none');
  worker.publish('espalier.worker.one', bytes('{}'));
  await until('the heartbeat', () => heard.length === 1);
  assert.deepEqual(heard, ['espalier.worker.one']);

  const { content, digest, source } = blob();
  await coordinator.objects.put(digest, content.byteLength, source());
  let got = 0;
  for await (const chunk of worker.objects.open(digest)) got += chunk.byteLength;
  assert.equal(got, content.byteLength);
  assert.equal(notices.length, 0);

  const denied = { code: 'bus_unavailable' } as const;
  await assert.rejects(worker.jobs.get('job.1'), denied);
  await assert.rejects(worker.jobs.create('job.1', bytes('x')), denied);
  await assert.rejects(worker.wake.add('job-1'), denied);
  await assert.rejects(worker.events.append('job-1', bytes('x')), denied);
  await assert.rejects(worker.objects.delete(digest), denied);
  await assert.rejects(worker.objects.usage(), denied);
  await assert.rejects(connectBus(settingsOf('worker'), { create: true, timeoutMs: 500 }), denied);
  assert.equal(await coordinator.jobs.get('job.1'), null);
  assert.equal(await coordinator.wake.count(), 0);
  assert.ok((await coordinator.objects.find(digest)) !== null);
  assert.ok(notices.some(({ event, detail }) => event === 'refused' && detail.includes('$KV.espalier_jobs.job.1')));

  // Nor may it hear what others are told.
  let overheard = 0;
  worker.subscribe('espalier.worker.>', () => (overheard += 1));
  worker.subscribe('_INBOX_>', () => (overheard += 1));
  await until('both to be refused', () => notices.filter(({ detail }) => detail.includes('subscription')).length >= 2);
  worker.publish('espalier.worker.two', bytes('{}'));
  await until('the heartbeat', () => heard.length === 2);
  assert.equal(overheard, 0);
});

test('coordinators hear the loads of each other, a worker neither hears nor tells any', async () => {
  const refused: BusNotice[] = [];
  const one = await open(settingsOf('coordinator'), { create: true });
  const other = await open(settingsOf('coordinator'));
  const worker = await open(settingsOf('worker'), { onNotice: (notice) => refused.push(notice) });
  const heard: string[] = [];
  releases.add(async () => stopHearing());
  const stopHearing = one.subscribe('espalier.coordinator.*', (subject) => heard.push(subject));
  await one.jobs.get('job.none');
  let overheard = 0;
  worker.subscribe('espalier.coordinator.*', () => (overheard += 1));
  worker.publish('espalier.coordinator.worker', bytes('{}'));
  await until('both to be refused', () => refused.length === 2);
  other.publish('espalier.coordinator.other', bytes('{}'));
  await until('the load', () => heard.length > 0);
  assert.deepEqual(heard, ['espalier.coordinator.other']);
  assert.equal(overheard, 0);
  assert.ok(refused.every(({ event, detail }) => event === 'refused' && detail.includes('espalier.coordinator.')));
});

test('a key that the server does not know, and no key, are refused at once', async () => {
  const other = mkdtempSync(path.join(folder, 'other-'));
  execFileSync(process.execPath, [SCRIPT, '--out', other, '--insecure'], { stdio: 'pipe' });
  const startMs = performance.now();
  const unknown = path.join(other, 'coordinator.nk');
  await assert.rejects(open(settingsOf('coordinator', { credentials: unknown })), {
    code: 'bus_unavailable',
    message: `${server.url}: NATS refused ${unknown}`,
  });
  await assert.rejects(open(settingsOf('coordinator', { credentials: null })), {
    code: 'bus_unavailable',
    message: `${server.url}: NATS refused ${certificates.of('coordinator').certificate}`,
  });
  assert.ok(performance.now() - startMs < 5_000);
});

test('without a certificate, with one of another authority, or without TLS nobody gets in', async () => {
  const { ca } = certificates.of('worker');
  const quick = { connectMs: 1_000 };
  await assert.rejects(open(settingsOf('worker', { tls: { ca, certificate: null, key: null } }), quick), isRefusal);
  const stranger = { ...strangers.of('worker'), ca };
  await assert.rejects(open(settingsOf('worker', { tls: stranger }), quick), isRefusal);
  await assert.rejects(
    open(settingsOf('worker', { tls: null, servers: [`nats://127.0.0.1:${server.port}`] }), quick),
    isRefusal,
  );
  // Nor does this side give itself away to a server of another authority, or of another name.
  await assert.rejects(
    open(settingsOf('worker', { tls: { ...certificates.of('worker'), ca: strangers.path('ca.pem') } }), quick),
    {
      code: 'tls',
    },
  );
  const plain = await NatsServer.start();
  try {
    await assert.rejects(open({ ...settingsOf('worker'), servers: [plain.url] }, quick), {
      code: 'tls',
      message: /: NATS does not offer TLS$/,
    });
  } finally {
    await plain.remove();
  }

  function isRefusal(caught: unknown): boolean {
    assert.ok(caught instanceof EspalierError);
    assert.ok(caught.code === 'tls' || caught.code === 'bus_unavailable', caught.line);
    return true;
  }
});

test('a renewed certificate is used for the next connection', async () => {
  const own = mkdtempSync(path.join(folder, 'own-'));
  const at = (name: string) => path.join(own, name);
  for (const name of ['ca.pem', 'worker.pem', 'worker-key.pem'])
    writeFileSync(at(name), readFileSync(certificates.path(name)));
  const tls = { ca: at('ca.pem'), certificate: at('worker.pem'), key: at('worker-key.pem') };
  const bus = await open(settingsOf('worker', { tls }));
  const renewal = new Certificates(['127.0.0.1'], certificates);
  releases.add(async () => renewal.remove());
  for (const name of ['worker.pem', 'worker-key.pem']) writeFileSync(at(name), readFileSync(renewal.path(name)));
  await server.restart();
  await until('the connection', () => bus.isConnected, 20_000);
  assert.equal(await bus.objects.find('0'.repeat(64)), null);
});

test('metrics tell when the certificates end that are presented to NATS and by it', async () => {
  const own = path.join(folder, 'shown.pem');
  const tls = { ...certificates.of('worker'), certificate: own };
  writeFileSync(own, readFileSync(certificates.path('worker.pem')));
  const settings = settingsOf('worker', { tls });
  const bus = await open(settings);
  const metrics = new WorkerMetrics({ version: '1.2.3', protocolVersion: 1 }, {});
  watchOwnCertificates(metrics, null, settings);
  metrics.watchCertificate('nats_server', () => bus.serverCertificateEnd);
  const shown = async () => {
    const text = await metrics.registry.getSingleMetricAsString('espalier_certificate_expiry_timestamp_seconds');
    const values = [...text.matchAll(/\{certificate="(\w+)"\} (\S+)$/gm)];
    return Object.fromEntries(values.map(([, name, value]) => [name, Number(value)]));
  };
  const endOf = (file: string) => Date.parse(new X509Certificate(readFileSync(file)).validTo) / 1000;
  const nats = certificates.of('nats');
  const first = { nats: endOf(own), nats_server: endOf(nats.certificate) };
  assert.deepEqual(await shown(), first);

  // Certificates of a day take the places of both.
  const day = certificates.named('worker', 'DNS:localhost').certificate;
  assert.ok(endOf(day) < first.nats - 86_400);
  const files = [nats.certificate, nats.key].map((file) => [file, readFileSync(file)] as const);
  releases.add(async () => {
    for (const [file, content] of files) writeFileSync(file, content);
  });
  writeFileSync(nats.certificate, readFileSync(day));
  writeFileSync(nats.key, readFileSync(tls.key));
  writeFileSync(own, readFileSync(day));
  assert.deepEqual(await shown(), { ...first, nats: endOf(day) }, 'the file of this side is looked at each time');
  await server.restart();
  await until('the connection', () => bus.isConnected, 20_000);
  assert.deepEqual(await shown(), { nats: endOf(day), nats_server: endOf(day) });

  rmSync(own);
  assert.deepEqual(await shown(), { nats_server: endOf(day) }, 'of a file that is not there nothing is known');
});

test('files that are wrong are named, and never quoted', async () => {
  const secret = readFileSync(key('worker'), 'utf8').trim();
  const write = (name: string, content: string) => {
    writeFileSync(path.join(folder, name), content);
    return path.join(folder, name);
  };
  const wrong = [
    [path.join(folder, 'missing.nk'), /: cannot be read: ENOENT$/],
    [write('empty.nk', ''), /: got no credentials of a user/],
    [write('short.nk', secret.slice(0, -1)), /: got no credentials of a user/],
    [
      write('typo.nk', secret.slice(0, -4) + (secret.endsWith('AAAA') ? 'BBBB' : 'AAAA')),
      /: got no credentials of a user/,
    ],
    [write('half.creds', `-----BEGIN USER NKEY SEED-----\n${secret}\n------END USER NKEY SEED------\n`), /: got no/],
  ] as const;
  for (const [credentials, message] of wrong)
    await assert.rejects(open(settingsOf('worker', { credentials })), (caught) => {
      assert.ok(caught instanceof EspalierError);
      assert.equal(caught.code, 'usage');
      assert.ok(caught.message.startsWith(credentials), caught.message);
      assert.match(caught.message, message);
      assert.ok(!JSON.stringify([caught.line, caught.stack, caught.cause]).includes(secret.slice(0, 20)));
      return true;
    });
  await assert.rejects(open(settingsOf('worker', { tls: { ca: '/missing/ca.pem', certificate: null, key: null } })), {
    code: 'tls',
    message: /^\/missing\/ca\.pem: cannot be read/,
  });
  const { ca, certificate } = certificates.of('worker');
  await assert.rejects(open(settingsOf('worker', { tls: { ca, certificate, key: certificates.of('read').key } })), {
    code: 'tls',
    message: /got a key that does not belong to the certificate/,
  });
});

test('the script keeps keys to their owner, overwrites nothing, and tells of all wrong flags at once', () => {
  for (const user of ['coordinator', 'worker', 'admin']) {
    assert.equal(statSync(key(user)).mode & 0o777, 0o600);
    assert.match(readFileSync(key(user), 'utf8'), /^SU[A-Z2-7]{56}\n$/);
    assert.ok(!readFileSync(path.join(folder, 'nats.conf'), 'utf8').includes(readFileSync(key(user), 'utf8').trim()));
  }
  const before = readdirSync(folder);
  const again = spawnSync(process.execPath, [SCRIPT, '--out', folder, '--insecure'], { encoding: 'utf8' });
  assert.equal(again.status, 1);
  assert.match(
    again.stderr,
    /^make-nats-config: .* has coordinator\.nk, worker\.nk, admin\.nk, nats\.conf already; choose/,
  );
  assert.deepEqual(readdirSync(folder), before);
  const flags = ['--certificates', '/nowhere', '--listen', 'x', '--store-gb', '0', '--monitor-port', 'y'];
  const { stderr } = spawnSync(process.execPath, [SCRIPT, ...flags], { encoding: 'utf8' });
  assert.equal(
    stderr,
    'make-nats-config: --out DIR: missing; --certificates: got /nowhere, which has no ca.pem; ' +
      '--certificates: got /nowhere, which has no nats.pem; --certificates: got /nowhere, which has no nats-key.pem; ' +
      '--listen: got x, expected HOST:PORT; --store-gb: got 0, expected a whole number from 1 to 1000000; ' +
      '--monitor-port: got y, expected a whole number from 0 to 65535; see --help\n',
  );
});
