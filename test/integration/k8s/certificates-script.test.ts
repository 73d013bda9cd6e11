// deploy/kubernetes/make-certificates.mjs: makes what is missing, leaves what is good, renews what is near its end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';
import { rolesOf } from '../../../shared/rpc/roles.ts';
import { readTlsFiles } from '../../../shared/rpc/tls-files.ts';
import { CERTIFICATE_HOSTS } from '../../support/kubernetes/checks.ts';

interface Secret {
  readonly metadata: { readonly name: string; annotations?: Record<string, string> };
  readonly type: string;
  readonly data: Record<string, string>;
}

const folder = mkdtempSync(path.join(tmpdir(), 'espalier-kubernetes-'));
const kubectl = path.join(folder, 'kubectl');
copyFileSync(path.join(projectRoot(), 'test/support/fake-kubectl.mjs'), `${kubectl}.mjs`);
chmodSync(`${kubectl}.mjs`, 0o755);
let state = '';
beforeEach(() => {
  state = mkdtempSync(path.join(folder, 'state-'));
  writeFileSync(path.join(state, 'namespace'), '');
});
after(() => rmSync(folder, { recursive: true }));

function run(...flags: string[]) {
  const script = path.join(projectRoot(), 'deploy/kubernetes/make-certificates.mjs');
  const env = { ...process.env, KUBECTL: `${kubectl}.mjs`, FAKE_KUBECTL_STATE: state };
  return spawnSync(process.execPath, [script, ...flags], { encoding: 'utf8', env });
}

const read = (name: string) => JSON.parse(readFileSync(path.join(state, `${name}.json`), 'utf8')) as Secret;
const certificateOf = ({ data }: Secret) => new X509Certificate(Buffer.from(data['tls.crt'], 'base64'));

test('all certificates are made, each with its role and names, and are what processes accept', async () => {
  const { status, stderr } = run('--', '--context', 'kind-espalier');
  assert.equal(status, 0, stderr);
  for (const [role, hosts] of Object.entries(CERTIFICATE_HOSTS)) {
    const secret = read(`${role}-tls`);
    assert.equal(secret.type, 'kubernetes.io/tls');
    const { subjectAltName } = certificateOf(secret);
    assert.deepEqual(rolesOf(subjectAltName), [role]);
    const names = subjectAltName!.split(', ').filter((name) => name.startsWith('DNS:'));
    assert.deepEqual(names, hosts.length === 0 ? [] : hosts.map((host) => `DNS:${host}`));
  }
  const files = ['ca.crt', 'tls.crt', 'tls.key'].map((key) => {
    const file = path.join(folder, key);
    writeFileSync(file, Buffer.from(read('worker-tls').data[key], 'base64'));
    return file;
  });
  await readTlsFiles({ ca: files[0], certificate: files[1], key: files[2] }, 'worker');
  const calls = readFileSync(path.join(state, 'calls'), 'utf8').trim().split('\n');
  for (const call of calls) assert.match(call, /^--context kind-espalier --namespace espalier /);
  // No key on a command line, where every user of the machine sees it.
  assert.doesNotMatch(calls.join(), /PRIVATE|tls\.key/);
});

test('what is good stays, what is missing or near its end is made of the same authority', () => {
  assert.equal(run('--days', '40').status, 0);
  const before = Object.fromEntries(Object.keys(CERTIFICATE_HOSTS).map((role) => [role, read(`${role}-tls`)]));
  const authority = read('authority-tls');
  const again = run('--days', '40');
  assert.equal(again.status, 0, again.stderr);
  assert.doesNotMatch(again.stdout, /made/);
  rmSync(path.join(state, 'read-tls.json'));
  assert.match(run('--days', '40').stdout, /^read-tls: made$/m);
  assert.deepEqual(read('worker-tls'), before.worker);
  const renewed = run('--days', '365', '--renew-before-days', '60');
  assert.equal(renewed.status, 0, renewed.stderr);
  assert.deepEqual(read('authority-tls'), authority);
  assert.notEqual(certificateOf(read('worker-tls')).serialNumber, certificateOf(before.worker).serialNumber);
  assert.equal(read('worker-tls').data['ca.crt'], authority.data['tls.crt']);
  assert.ok(certificateOf(read('worker-tls')).verify(certificateOf(authority).publicKey));
});

test('nothing is made beside cert-manager, without a namespace, or by wrong flags', () => {
  assert.equal(run().status, 0);
  const secret = read('worker-tls');
  secret.metadata.annotations = { 'cert-manager.io/certificate-name': 'worker' };
  writeFileSync(path.join(state, 'worker-tls.json'), JSON.stringify(secret));
  const beside = run('--days', '20', '--renew-before-days', '10');
  assert.equal(beside.status, 1);
  assert.match(beside.stderr, /^kubernetes-certificates: worker-tls: made by cert-manager, which renews it$/m);

  rmSync(path.join(state, 'namespace'));
  assert.match(run().stderr, /namespaces "espalier" not found/);
  assert.match(run('--days', '0').stderr, /--days: got 0, expected a whole number from 1 to 3650/);
  assert.match(run('--days', '30').stderr, /--renew-before-days: got 30, expected less than --days 30/);
});
