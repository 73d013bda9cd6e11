// What processes print about keys, credentials and passwords that they were given: nothing of their content, whether the
// files are right, wrong or damaged.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { nkeys } from 'nats';
import { projectRoot } from '../../../shared/project-root.ts';
import { Certificates } from '../../support/certificates.ts';
import { until } from '../../support/until.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'espalier-secrets-'));
const certificates = new Certificates(['localhost']);
after(() => {
  rmSync(folder, { recursive: true });
  certificates.remove();
});

const SEED = new TextDecoder().decode(nkeys.createUser().getSeed());
const PASSWORD = 'hunter2hunter2';
const file = (name: string, content: string) => {
  const target = path.join(folder, name);
  writeFileSync(target, content);
  return target;
};
const seedFile = file('seed.nk', `${SEED}\n`);
const damagedCredentials = file('user.creds', `-----BEGIN USER NKEY SEED-----\n${SEED}\n(the rest is missing)`);
const keyText = readFileSync(certificates.path('coordinator-key.pem'), 'utf8');
const [, keyLine] = keyText.split('\n');
const damagedKey = file('damaged-key.pem', keyText.replace('PRIVATE KEY-----\n', 'PRIVATE KEY-----\nAAAA'));
const { ca, certificate } = certificates.of('coordinator');
const NATS = ['--nats', 'nats://127.0.0.1:1'];

const cases: readonly [what: string, flags: readonly string[], word: string][] = [
  ['sound files', [...NATS, ...certificates.flags('coordinator'), '--nats-credentials', seedFile], 'waiting for NATS'],
  ['a damaged key', [...NATS, '--tls-ca', ca, '--tls-certificate', certificate!, '--tls-key', damagedKey], 'failed'],
  ['damaged credentials', [...NATS, '--nats-credentials', damagedCredentials], 'failed'],
  [
    'credentials for a key',
    [...NATS, '--tls-ca', ca, '--tls-certificate', certificate!, '--tls-key', seedFile],
    'failed',
  ],
  ['a key for credentials', [...NATS, '--nats-credentials', certificates.path('coordinator-key.pem')], 'failed'],
  ['a password in an address', ['--nats', `nats://user:${PASSWORD}@127.0.0.1:1`], 'failed'],
  ['a password for traces', [...NATS, '--otlp-endpoint', `http://user:${PASSWORD}@127.0.0.1:1`], 'failed'],
  [
    'the settings shown',
    [...NATS, ...certificates.flags('coordinator'), '--nats-credentials', seedFile, '--print-config'],
    seedFile,
  ],
];

for (const [what, flags, word] of cases)
  test(`a coordinator prints nothing of ${what}`, async () => {
    const program = path.join(projectRoot(), 'dist/coordinator/main.js');
    const common = ['--port', '0', '--metrics-port', '0', '--cache-dir', path.join(folder, 'cache')];
    const child = spawn(process.execPath, [program, ...common, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    after(() => child.kill('SIGKILL'));
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    const closed = once(child, 'close');
    await until(`"${word}" in what it prints`, () => output.includes(word), 30_000);
    child.kill('SIGKILL');
    await closed;
    assert.ok(readFileSync(seedFile, 'utf8').includes(SEED) && keyText.includes(keyLine), 'the control');
    for (const secret of [SEED, keyLine, keyLine.slice(0, 24), PASSWORD]) assert.ok(!output.includes(secret), output);
  });
