// Certificates that are expired, of another authority or of another role, between every two kinds of parties: whoever
// presents one is told so in one line, and the others go on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import type { TlsFiles } from '../../shared/rpc/tls-files.ts';
import { writeToyCampaign } from '../support/campaigns.ts';
import { Certificates } from '../support/certificates.ts';
import { Cluster } from '../support/cluster.ts';
import { command } from '../support/cluster-client.ts';
import { JobWatch } from '../support/job-watch.ts';
import { until } from '../support/until.ts';

const ours = new Certificates(['127.0.0.1', 'localhost']);
const theirs = new Certificates(['127.0.0.1', 'localhost']);
const withOurAuthority = (files: TlsFiles): TlsFiles => ({ ...files, ca: ours.path('ca.pem') });

let cluster: Cluster;
let watch: JobWatch;

before(async () => {
  cluster = await Cluster.start({ coordinators: 1, workers: 1, certificates: ours });
  watch = await JobWatch.open(cluster.natsUrl);
});

after(async () => {
  await watch?.close();
  await cluster?.remove();
  ours.remove();
  theirs.remove();
});

const flags = ({ ca, certificate, key }: TlsFiles, prefix = '--tls') => [
  ...[`${prefix}-ca`, ca, `${prefix}-certificate`, certificate, `${prefix}-key`, key],
];

async function runsAJob(name: string): Promise<string> {
  const file = await writeToyCampaign(cluster.folderOf('client', 'campaign'), name, { jobs: 1 });
  const submitted = await command(cluster, ['submit', file, '--json'], { flags: flags(ours.of('submit')) });
  assert.equal(submitted.code, 0, submitted.stderr);
  const [{ id }] = (JSON.parse(submitted.stdout) as { jobs: { id: string }[] }).jobs;
  await watch.done([id], 60_000);
  return id;
}

test('clients and coordinators', async () => {
  const list = async (own: readonly string[]) => command(cluster, ['list', '--json'], { flags: own });
  for (const role of ['submit', 'read'] as const) {
    const { code, stderr } = await list(flags(ours.of(role)));
    assert.equal(code, 0, `${role}: ${stderr}`);
  }
  const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no certificate', [], /^espalier: \[(tls|coordinator_unavailable)\] /],
    ['another authority', flags(withOurAuthority(theirs.of('submit'))), /^espalier: \[tls\] /],
    ['an authority that this side does not trust', flags(theirs.of('submit')), /^espalier: \[tls\] /],
    ['expired', flags(ours.expired('submit')), /^espalier: \[tls\] .*expired/],
    ['the role of a worker', flags(ours.of('worker')), /^espalier: \[wrong_role\] /],
  ];
  for (const [name, own, expected] of refused) {
    const { code, stdout, stderr } = await list(own);
    const lines = stderr.trim().split('\n');
    assert.equal(code, 6, `${name}: ${stderr}`);
    assert.equal(lines.length, 1, `${name}: ${stderr}`);
    assert.match(lines[0], expected, name);
    assert.equal(stdout, '');
  }
  const file = await writeToyCampaign(cluster.folderOf('client', 'campaign'), 'by-a-reader', { jobs: 1 });
  const reader = await command(cluster, ['submit', file, '--json'], { flags: flags(ours.of('read')) });
  assert.match(reader.stderr, /\[wrong_role\].*expected submit/);
  assert.equal(watch.records.length, 0, 'nothing was stored');
  await runsAJob('after-clients');
});

test('coordinators and workers', async () => {
  const other = await cluster.addWorker([], 'dist/worker/main.js', theirs);
  await runsAJob('beside-a-worker-of-others');
  assert.doesNotMatch(other.log(), /task computed/);
  const told = () =>
    cluster.coordinators[0]
      .log()
      .split('\n')
      .filter((line) => line.includes(other.address));
  await until('the log says why it is not used', () => told().length > 0, 20_000);
  await runsAJob('after-it-was-refused');
  assert.ok(told().length <= 3, `it says so again and again: ${told().join('\n')}`);
  await cluster.removeWorker(other.name);
});

test('processes whose own certificate will not do end with one error', async () => {
  for (const [program, role] of [
    ['coordinator', 'coordinator'],
    ['worker', 'worker'],
  ] as const)
    for (const [files, code] of [
      [ours.expired(role), 'tls'],
      [ours.of('submit'), 'wrong_role'],
      [{ ...ours.of(role), key: theirs.path(`${role}-key.pem`) }, 'tls'],
    ] as const) {
      const { codes, exitCode } = await ending(program, ['--nats', cluster.natsUrl, ...flags(files)]);
      assert.deepEqual([exitCode, codes], [6, [code]], `${program}: ${files.certificate}`);
    }
});

test('NATS and the others', async () => {
  const { certificate, key, ca } = ours.of('nats');
  const paths = [certificate, key, ca].map((file) => JSON.stringify(file));
  const natsConfig = `tls { cert_file: ${paths[0]}, key_file: ${paths[1]}, ca_file: ${paths[2]}, verify: true }`;
  const secure = await Cluster.start({ coordinators: 0, workers: 0, natsConfig });
  try {
    const nats = ['--nats', `tls://127.0.0.1:${secure.nats.port}`];
    const refused: readonly (readonly string[])[] = [
      ['--nats-tls-ca', ours.path('ca.pem')],
      flags(withOurAuthority(theirs.of('coordinator')), '--nats-tls'),
      flags(ours.expired('coordinator'), '--nats-tls'),
      flags(theirs.of('coordinator'), '--nats-tls'),
    ];
    for (const own of refused) {
      const { codes } = await ending('coordinator', [...nats, ...own]);
      assert.equal(codes.length, 1, `${own.join(' ')}: ${codes}`);
      // Some of it NATS only tells by ending the connection, as it does while it starts: that is waited for.
      assert.ok(['tls', 'bus_unavailable'].includes(codes[0]), codes[0]);
    }
    assert.ok(secure.nats.isRunning);
  } finally {
    await secure.remove();
  }
});

/** Runs a process that must end by itself. @returns the codes of the errors that it logged. */
function ending(
  program: 'coordinator' | 'worker',
  own: readonly string[],
): Promise<{ codes: string[]; exitCode: number | null }> {
  const folder = cluster.folderOf('ending', program);
  const where = program === 'worker' ? ['--blob-dir', folder, '--device', 'cpu'] : ['--cache-dir', folder];
  const file = path.join(projectRoot(), `dist/${program}/main.js`);
  const args = [file, '--port', '0', '--metrics-port', '0', ...where, ...own];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
    // It would wait on.
    if (log.includes('"waiting for NATS"')) child.kill('SIGKILL');
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  return new Promise((resolve) => {
    child.once('close', (exitCode) => {
      clearTimeout(timer);
      const errors = log.split('\n').filter((line) => /"level":"error"|"waiting for NATS"/.test(line));
      const codes = errors.map((line) => (JSON.parse(line) as { error: { code: string } }).error.code);
      assert.doesNotMatch(log, /PRIVATE KEY/);
      resolve({ exitCode, codes });
    });
  });
}
