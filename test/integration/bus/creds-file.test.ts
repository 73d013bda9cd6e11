// A user of a nats-server that trusts an operator: a .creds file with a signed token and the user's seed.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { nkeys } from 'nats';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { NatsServer } from '../../support/nats-server.ts';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const base64Url = (value: string | Uint8Array) => Buffer.from(value).toString('base64url');
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A token of NATS: a JWT that is signed with the issuer's NKEY. */
function token(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const claims = { jti: 'test', iat: 1, iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name: 'test', nats };
  const body = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map((part) => base64Url(JSON.stringify(part))).join('.');
  return `${body}.${base64Url(issuer.sign(new TextEncoder().encode(body)))}`;
}

const folder = mkdtempSync(path.join(tmpdir(), 'espalier-creds-'));
after(() => rmSync(folder, { recursive: true }));

test('connects with a .creds file, and is refused with that of a stranger', async () => {
  const [operator, system, account, user, stranger] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
    nkeys.createAccount(),
  ];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 };
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const accountToken = token(operator, account, { type: 'account', version: 2, limits: { ...limits, ...storage } });
  const creds = (name: string, issuer: KeyPair) => {
    const jwt = token(issuer, user, { type: 'user', version: 2, subs: -1, data: -1, payload: -1 });
    const section = (title: string, body: string) => `-----BEGIN ${title}-----\n${body}\n------END ${title}------\n`;
    const file = path.join(folder, name);
    writeFileSync(file, `${section('NATS USER JWT', jwt)}\n${section('USER NKEY SEED', text(user.getSeed()))}`);
    return file;
  };
  const server = await NatsServer.start({
    config: `operator: ${token(operator, operator, { type: 'operator', version: 2 })}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: {
  ${system.getPublicKey()}: ${token(operator, system, { type: 'account', version: 2, limits })}
  ${account.getPublicKey()}: ${accountToken}
}
`,
  });
  try {
    const bus = await connectBus(server.settings({ credentials: creds('user.creds', account) }), { create: true });
    assert.ok((await bus.jobs.create('job.1', new Uint8Array(1))) !== null);
    await bus.close();
    const wrong = creds('stranger.creds', stranger);
    await assert.rejects(connectBus(server.settings({ credentials: wrong })), {
      code: 'bus_unavailable',
      message: `${server.url}: NATS refused ${wrong}`,
    });
  } finally {
    await server.remove();
  }
});
