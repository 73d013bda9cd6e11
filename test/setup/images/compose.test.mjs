// compose.yaml as it is, what Prometheus of it watches, its certificates, and that the checks would tell of what could go wrong.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { NATS_SERVER } from '../../../setup/nats-server.mjs';
import { CHECKOUT, temporaryFolder } from '../support.mjs';
import { composeProblems, settingsOf } from './compose-problems.mjs';

const read = (name) => fs.readFileSync(path.join(CHECKOUT, name), 'utf8');
const compose = () => parse(read('deploy/compose.yaml'), { merge: true });
const versions = { own: JSON.parse(read('package.json')).version, nats: NATS_SERVER.version };

test('every service: a pinned image, no rights, limits, a health check, settings that its process takes', () => {
  assert.deepEqual(composeProblems(compose(), versions), []);
});

const WRONG = [
  ['an unpinned image', (s) => (s.grafana.image = 'grafana/grafana:latest'), /^grafana: image .* has no version$/],
  [
    'another release',
    (s) => (s.coordinator.image = 'ghcr.io/espalier/coordinator:0.0.1'),
    /^coordinator: image .*, expected/,
  ],
  ['another NATS', (s) => (s.nats.image = 'nats:2.9.0-alpine'), /^nats: nats:2\.9\.0-alpine, the set-up has /],
  ['root', (s) => (s.prometheus.user = '0:0'), /^prometheus: user 0:0$/],
  ['a root that can be written to', (s) => (s.nats.read_only = false), /^nats: its root can be written to$/],
  ['capabilities', (s) => delete s.cli.cap_drop, /^cli: keeps capabilities$/],
  ['privileges', (s) => (s.cli.privileged = true), /^cli: gets rights$/],
  ['setuid programs', (s) => (s.cli.security_opt = []), /^cli: may gain rights$/],
  ['no limit', (s) => delete s['worker-1'].deploy.resources.limits.memory, /^worker-1: no limit of memory$/],
  ['no health check', (s) => delete s.nats.healthcheck, /^nats: no health check$/],
  [
    'a port for everybody',
    (s) => (s.coordinator.ports = ['7070:7070']),
    /^coordinator: port 7070:7070 for other machines$/,
  ],
  ['a file that is not there', (s) => s.nats.volumes.push('./no.conf:/no.conf'), /^nats: no file \.\/no\.conf$/],
  ['a volume that is not there', (s) => s.nats.volumes.push('none:/none'), /^nats: no volume none$/],
  [
    'a misspelt setting',
    (s) => (s['worker-1'].environment.ESPALIER_DRAIN = '1'),
    /^worker-1: ESPALIER_DRAIN: no such setting$/,
  ],
  ['a wrong setting', (s) => (s['worker-2'].environment.ESPALIER_PORT = 'x'), /^worker-2: .*ESPALIER_PORT: got "x"/],
  ['no certificates', (s) => s.coordinator.volumes.shift(), /^coordinator: .*ca\.crt is not mounted$/],
];

for (const [what, change, problem] of WRONG)
  test(`told of: ${what}`, () => {
    const document = structuredClone(compose());
    change(document.services);
    assert.match(composeProblems(document, versions).join('\n'), new RegExp(problem, 'm'));
  });

test('with the GPU file: the same services, and the variant of the image', () => {
  const { services } = parse(read('deploy/compose.gpu.yaml'));
  const all = compose().services;
  for (const name of Object.keys(services)) assert.ok(name in all, name);
  assert.equal(services['worker-1'].image, `${all['worker-1'].image}-gpu`);
  const environment = { ...all['worker-1'].environment, ...services['worker-1'].environment };
  const { device, workers } = settingsOf('worker-1', { ...all['worker-1'], environment });
  assert.deepEqual([device, workers], ['gpu', 'auto']);
});

test('Prometheus scrapes the metrics of each process, and its files are mounted', () => {
  const { services } = compose();
  const { scrape_configs: jobs, rule_files: rules } = parse(read('deploy/prometheus/prometheus.yaml'));
  const targets = jobs.flatMap(({ static_configs: fixed = [], dns_sd_configs: named = [] }) => [
    ...fixed.flatMap((config) => config.targets),
    ...named.flatMap(({ names, port }) => names.map((name) => `${name}:${port}`)),
  ]);
  for (const name of ['coordinator', 'worker-1', 'worker-2']) {
    const { metricsHost, metricsPort } = settingsOf(name, services[name]);
    assert.equal(metricsHost, '0.0.0.0');
    assert.ok(targets.includes(`${name}:${metricsPort}`), `${name}:${metricsPort} is not scraped`);
  }
  const mounted = services.prometheus.volumes.map((volume) => volume.split(':')[1]);
  for (const file of rules) assert.ok(mounted.includes(file), file);
  const [flag] = services.prometheus.command;
  assert.ok(mounted.includes(flag.replace('--config.file=', '')), flag);
});

test('certificates: one for each service, for the names that settings have; kept, and renewed in their last month', (t) => {
  const out = temporaryFolder(t);
  const owners = ['authority', 'nats', 'coordinator', 'worker', 'user'];
  for (const owner of owners) fs.mkdirSync(path.join(out, owner));
  const run = (script, ...args) => {
    const { status, stderr } = spawnSync(process.execPath, [path.join(CHECKOUT, 'deploy', script), ...args], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  };
  const certificate = (owner) => new X509Certificate(fs.readFileSync(path.join(out, owner, 'tls.crt')));
  run('compose/make-certificates.mjs', out);
  const { services } = compose();
  const { workerTlsName, bus } = settingsOf('coordinator', services.coordinator);
  const names = { coordinator: 'coordinator', worker: workerTlsName, nats: new URL(bus.servers[0]).hostname };
  for (const [owner, name] of Object.entries(names)) assert.equal(certificate(owner).checkHost(name), name);
  assert.ok(services.nats.networks.default.aliases.includes(names.nats));
  assert.match(certificate('user').subjectAltName, /URI:espalier:role:submit/);
  assert.equal(fs.statSync(path.join(out, 'worker', 'tls.key')).mode & 0o777, 0o600);

  const serials = () => owners.slice(1).map((owner) => certificate(owner).serialNumber);
  const first = serials();
  run('compose/make-certificates.mjs', out);
  assert.deepEqual(serials(), first);

  run('make-certificates.mjs', '--out', path.join(out, 'old'), '--host', 'localhost', '--days', '20');
  fs.copyFileSync(path.join(out, 'old', 'worker.pem'), path.join(out, 'worker', 'tls.crt'));
  const authority = fs.readFileSync(path.join(out, 'worker', 'ca.crt'), 'utf8');
  run('compose/make-certificates.mjs', out);
  assert.equal(serials().filter((serial) => first.includes(serial)).length, 0);
  assert.equal(fs.readFileSync(path.join(out, 'worker', 'ca.crt'), 'utf8'), authority);
  assert.ok(certificate('worker').checkIssued(new X509Certificate(authority)));
});

const hasCompose = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0;

test('docker compose reads both files', { skip: hasCompose ? false : 'no docker compose here' }, () => {
  const files = ['--file', 'deploy/compose.yaml', '--file', 'deploy/compose.gpu.yaml'];
  const { status, stderr } = spawnSync('docker', ['compose', ...files, 'config', '--quiet'], {
    cwd: CHECKOUT,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
