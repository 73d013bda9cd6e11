// A nats-server that knows its users by the role in their certificates, with the configuration that deploy/nats makes, and
// a cluster that runs a job with these rights alone.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import type { BusNotice } from '../../../shared/bus/nats-link.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import type { TlsFiles } from '../../../shared/rpc/tls-files.ts';
import { writeToyCampaign } from '../../support/campaigns.ts';
import { Certificates } from '../../support/certificates.ts';
import { Cluster } from '../../support/cluster.ts';
import { command } from '../../support/cluster-client.ts';
import { until } from '../../support/until.ts';

const SCRIPT = path.join(projectRoot(), 'deploy/nats/make-nats-config.mjs');
const USERS = ['--users', 'certificates'];

// For an address the client of NATS looks for the name localhost.
const certificates = new Certificates(['127.0.0.1', 'localhost']);
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-nats-users-'));
let cluster: Cluster;
let campaign: string;

before(async () => {
  const out = path.join(folder, 'made');
  execFileSync(process.execPath, [SCRIPT, '--out', out, '--certificates', certificates.folder, ...USERS]);
  assert.deepEqual(readdirSync(out), ['nats.conf'], 'there are no keys');
  // The test's servers have addresses and a store of their own.
  const made = readFileSync(path.join(out, 'nats.conf'), 'utf8');
  const natsFlags = (role: 'coordinator' | 'worker') => {
    const { ca, certificate, key } = certificates.of(role);
    return ['--nats-tls-ca', ca, '--nats-tls-certificate', certificate, '--nats-tls-key', key];
  };
  cluster = await Cluster.start({
    ...{ coordinators: 1, workers: 1, natsConfig: made.slice(made.indexOf('tls {')) },
    ...{ coordinatorFlags: natsFlags('coordinator'), workerFlags: natsFlags('worker') },
  });
  campaign = await writeToyCampaign(path.join(folder, 'campaign'), 'toys', { jobs: 1 });
});
after(async () => {
  await cluster?.remove();
  certificates.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function opened(t: test.TestContext, tls: TlsFiles, notices: BusNotice[] = []): Promise<Bus> {
  const settings = { servers: [cluster.natsUrl], credentials: null, tls };
  const bus = await connectBus(settings, { timeoutMs: 1_000, onNotice: (notice) => notices.push(notice) });
  t.after(() => bus.close());
  return bus;
}

test('a coordinator and a worker run a job, and NATS refuses them nothing', async () => {
  const { code, stderr } = await command(cluster, ['submit', campaign, '--wait', '--json']);
  assert.equal(code, 0, stderr);
  for (const process of [...cluster.coordinators, ...cluster.workers])
    assert.doesNotMatch(process.log(), /NATS refused|Permissions Violation/);
  assert.doesNotMatch(cluster.nats.log(), /Permissions Violation/);
});

test("a worker's certificate may not write records, nor hear what a coordinator is answered", async (t) => {
  const notices: BusNotice[] = [];
  const worker = await opened(t, certificates.of('worker'), notices);
  const coordinator = await opened(t, certificates.of('coordinator'));
  await assert.rejects(worker.jobs.create('job.1', Buffer.from('x')), { code: 'bus_unavailable' });
  assert.equal(await coordinator.jobs.get('job.1'), null);
  assert.ok(notices.some(({ event, detail }) => event === 'refused' && detail.includes('$KV.espalier_jobs.job.1')));
  let overheard = 0;
  const before = notices.length;
  for (const subject of ['_INBOX_coordinator.>', '_INBOX_admin.>', '_INBOX.>'])
    worker.subscribe(subject, () => (overheard += 1));
  await until('all are refused', () => notices.length === before + 3);
  assert.equal(await coordinator.jobs.get('job.1'), null, 'an answer');
  assert.equal(overheard, 0);
  const own = await opened(t, certificates.of('admin'));
  assert.equal((await own.jobs.usage()).limitBytes, 1e9, 'who keeps NATS may ask everything');
});

test('of several roles the first that NATS knows counts, on both sides', async (t) => {
  const both = certificates.named(
    'worker',
    'URI:espalier:role:read,URI:espalier:role:coordinator,URI:espalier:role:worker',
  );
  const bus = await opened(t, both);
  await bus.leases.create('test.1', Buffer.from('x'));
  assert.notEqual(await bus.leases.get('test.1'), null);
});

test('a certificate whose roles are no user is refused, and so is one without a role', async (t) => {
  for (const files of [certificates.of('submit'), certificates.of('nats'), certificates.named('worker', 'DNS:worker')])
    await assert.rejects(opened(t, files), {
      code: 'bus_unavailable',
      message: `${cluster.natsUrl}: NATS refused ${files.certificate}`,
    });
});

test('a configuration for a container names files that are not here', () => {
  const out = path.join(folder, 'container');
  const there = ['--certificates', '/etc/espalier/tls', '--certificate-names', 'ca.crt,tls.crt,tls.key'];
  const rest = ['--listen', '0.0.0.0:4222', '--monitor', '0.0.0.0:8222', '--store', '/data'];
  execFileSync(process.execPath, [SCRIPT, '--out', out, ...USERS, ...there, ...rest], { stdio: 'pipe' });
  const made = readFileSync(path.join(out, 'nats.conf'), 'utf8');
  for (const line of [
    'listen: "0.0.0.0:4222"',
    'http: "0.0.0.0:8222"',
    '  store_dir: "/data"',
    '  ca_file: "/etc/espalier/tls/ca.crt"',
    '  cert_file: "/etc/espalier/tls/tls.crt"',
    '  key_file: "/etc/espalier/tls/tls.key"',
    '  verify_and_map: true',
    '      user: "espalier:role:coordinator"',
  ])
    assert.ok(made.split('\n').includes(line), line);
  assert.ok(!made.includes(folder) && !made.includes('nkey'));
});

test('flags that make no sense are told of at once', () => {
  const told = (...flags: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, '--out', folder, ...flags], { encoding: 'utf8' });
    assert.equal(status, 1);
    return stderr;
  };
  assert.equal(
    told('--certificates', 'tls', '--certificate-names', 'a,b', '--users', 'x', '--monitor', 'y', '--monitor-port=3'),
    'make-nats-config: --certificate-names: got a,b, expected three names of files, separated by commas; ' +
      '--certificates: got tls, expected a whole path where nats-server runs; ' +
      '--store: got none, expected a whole path where nats-server runs; ' +
      '--users: got x, expected keys or certificates; --monitor and --monitor-port: got both; ' +
      '--monitor: got y, expected HOST:PORT; see --help\n',
  );
  assert.equal(
    told('--insecure', '--users', 'certificates', '--certificate-names', 'a,b,c'),
    'make-nats-config: --certificate-names: got them without --certificates; ' +
      '--users certificates: got --insecure as well; see --help\n',
  );
});
