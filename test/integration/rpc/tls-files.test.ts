// What is wrong with a party's own files is told before it connects or serves, and names the file.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { rolesOf } from '../../../shared/rpc/roles.ts';
import { readTlsFiles, type TlsFiles } from '../../../shared/rpc/tls-files.ts';
import { CERTIFICATE_SCRIPT, Certificates } from '../../support/certificates.ts';

const good = new Certificates(['worker1.example', '127.0.0.1']);
const other = new Certificates(['127.0.0.1']);
after(() => {
  good.remove();
  other.remove();
});

const WORKER = good.of('worker');
const write = (name: string, text: string) => {
  writeFileSync(good.path(name), text);
  return good.path(name);
};

test('files that belong together are read', async () => {
  const { validTo } = await readTlsFiles(WORKER, 'worker');
  const days = (validTo.getTime() - Date.now()) / 86_400_000;
  assert.ok(days > 364 && days <= 365, `${days} days`);
});

test('a certificate below the authority brings the ones between', async () => {
  const at = (name: string) => good.path(name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const root = ['-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', at('root-key.pem'), '-out', at('root.pem')];
  openssl('req', '-x509', ...key, '-subj', '/CN=root', ...root);
  const between = ['-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', at('mid-key.pem'), '-out', at('mid.csr')];
  openssl('req', '-new', ...key, '-subj', '/CN=mid', ...between);
  const byRoot = ['-CA', at('root.pem'), '-CAkey', at('root-key.pem'), '-set_serial', '3', '-copy_extensions', 'copy'];
  openssl('x509', '-req', '-in', at('mid.csr'), ...byRoot, '-out', at('mid.pem'));
  const role = ['-addext', 'subjectAltName=URI:espalier:role:worker', '-out', at('leaf.csr')];
  openssl('req', '-new', '-key', WORKER.key, '-subj', '/CN=leaf', ...role);
  const byMid = ['-CA', at('mid.pem'), '-CAkey', at('mid-key.pem'), '-set_serial', '4', '-copy_extensions', 'copy'];
  openssl('x509', '-req', '-in', at('leaf.csr'), ...byMid, '-out', at('leaf.pem'));
  const [leaf, mid] = ['leaf.pem', 'mid.pem'].map((name) => readFileSync(at(name), 'utf8'));
  const files = { ca: at('root.pem'), certificate: write('chain.pem', leaf + mid), key: WORKER.key };
  await readTlsFiles(files, 'worker');
  await assert.rejects(readTlsFiles({ ...files, certificate: at('leaf.pem') }, 'worker'), { code: 'tls' });
});

mkdirSync(good.path('folder'));
const CASES: readonly [name: string, files: Partial<TlsFiles>, message: string][] = [
  ['a missing file', { ca: good.path('none.pem') }, `${good.path('none.pem')}: cannot be read: no such file`],
  ['a folder', { key: good.path('folder') }, `${good.path('folder')}: cannot be read: a folder`],
  [
    'a certificate that is none',
    { certificate: write('text.pem', 'hello') },
    `${good.path('text.pem')}: got no certificate, expected one in PEM form`,
  ],
  [
    'a damaged authority',
    { ca: write('bad.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n') },
    `${good.path('bad.pem')}: got no certificate, expected one in PEM form`,
  ],
  [
    'a certificate in the place of the key',
    { key: WORKER.certificate },
    `${WORKER.certificate}: got no private key, expected one in PEM form without a passphrase`,
  ],
  [
    'the key of another',
    { key: good.path('coordinator-key.pem') },
    `${good.path('coordinator-key.pem')}: got a key that does not belong to the certificate ${WORKER.certificate}`,
  ],
  [
    'another authority',
    { ca: other.path('ca.pem') },
    `${WORKER.certificate}: not signed by an authority of ${other.path('ca.pem')}`,
  ],
];

for (const [name, change, message] of CASES)
  test(`${name} is told in one line`, async () => {
    await assert.rejects(readTlsFiles({ ...WORKER, ...change }, 'worker'), { code: 'tls', message });
  });

test('an expired certificate is told with its date', async () => {
  const files = good.expired('worker');
  await assert.rejects(readTlsFiles(files, 'worker'), ({ code, message }) => {
    const date = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    assert.equal(code, 'tls');
    assert.ok(message.startsWith(`${files.certificate}: the certificate expired at ${date}T`), message);
    return true;
  });
});

test("a certificate for another role than the process's is refused", async () => {
  const { certificate } = good.of('coordinator');
  await assert.rejects(readTlsFiles(good.of('coordinator'), 'worker'), {
    code: 'wrong_role',
    message: `${certificate}: got a certificate with role coordinator, expected worker`,
  });
  const none = good.named('worker', 'DNS:a.example');
  await assert.rejects(readTlsFiles(none, 'worker'), { code: 'wrong_role', message: /got a certificate with no role/ });
});

test('only a URI of its own is a role, however a name is written', () => {
  assert.deepEqual(rolesOf('URI:espalier:role:worker, DNS:a.example, IP Address:127.0.0.1'), ['worker']);
  assert.deepEqual(rolesOf('DNS:a, URI:espalier:role:a, URI:espalier:role:b'), ['a', 'b']);
  assert.deepEqual(rolesOf('DNS:"a, URI:espalier:role:coordinator"'), []);
  assert.deepEqual(rolesOf('DNS:"a\\", URI:espalier:role:coordinator", DNS:b'), []);
  assert.deepEqual(rolesOf('DNS:URI:espalier:role:worker'), []);
  assert.deepEqual(rolesOf(undefined), []);
});

test('who serves has host names, each its own role; one of several roles will do', async () => {
  const altName = (name: string) => new X509Certificate(readFileSync(other.path(`${name}.pem`))).subjectAltName;
  for (const name of ['worker', 'coordinator', 'nats'])
    assert.equal(altName(name), `URI:espalier:role:${name}, IP Address:127.0.0.1`);
  for (const name of ['submit', 'read', 'admin']) assert.equal(altName(name), `URI:espalier:role:${name}`);
  await readTlsFiles(other.of('read'), ['submit', 'read']);
  await readTlsFiles(other.of('nats'), null);
  await assert.rejects(readTlsFiles(other.of('worker'), ['submit', 'read']), {
    code: 'wrong_role',
    message: /got a certificate with role worker, expected submit or read$/,
  });
});

test('the script keeps keys to their owner and overwrites nothing', () => {
  for (const name of ['ca', 'worker', 'coordinator', 'nats', 'submit', 'read', 'admin']) {
    assert.equal(statSync(other.path(`${name}-key.pem`)).mode & 0o777, 0o600);
    assert.equal(statSync(other.path(`${name}.pem`)).mode & 0o777, 0o644);
  }
  const before = readdirSync(other.folder).map((name) => [name, readFileSync(other.path(name), 'utf8')]);
  const { status, stderr } = spawnSync(
    process.execPath,
    [CERTIFICATE_SCRIPT, '--out', other.folder, '--host', 'a.example'],
    { encoding: 'utf8' },
  );
  assert.equal(status, 1);
  assert.match(stderr, /^make-certificates: .* has ca-key\.pem, .* already; choose another --out\n$/);
  assert.deepEqual(
    readdirSync(other.folder).map((name) => [name, readFileSync(other.path(name), 'utf8')]),
    before,
  );
});

test('the script tells of all wrong flags at once', () => {
  const flags = ['--host', 'a,URI:espalier:role:coordinator', '--days', '0', '--authority', '/nowhere'];
  const { status, stderr } = spawnSync(process.execPath, [CERTIFICATE_SCRIPT, ...flags], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.equal(
    stderr,
    'make-certificates: --out DIR: missing; ' +
      '--host: got a,URI:espalier:role:coordinator, expected a host name or an IP address; ' +
      '--days: got 0, expected a whole number from 1 to 3650; ' +
      '--authority: got /nowhere, which has no ca.pem; --authority: got /nowhere, which has no ca-key.pem; see --help\n',
  );
});
