// A server whose methods are for different roles.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Client, type MethodDefinition, Server, type ServiceError } from '@grpc/grpc-js';
import { createLog } from '../../../shared/log.ts';
import { type Role, requireRoles } from '../../../shared/rpc/roles.ts';
import { fromStatus } from '../../../shared/rpc/status.ts';
import { serverNameOptions, Tls } from '../../../shared/rpc/tls.ts';
import { Certificates } from '../../support/certificates.ts';

const certificates = new Certificates(['127.0.0.1']);
const plain = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };
const method = (path: string): MethodDefinition<Buffer, Buffer> => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: plain.serialize,
  requestDeserialize: plain.deserialize,
  responseSerialize: plain.serialize,
  responseDeserialize: plain.deserialize,
});
const service = { look: method('/test.Jobs/Look'), change: method('/test.Jobs/Change'), odd: method('/test.Jobs/Odd') };
const TABLE: Readonly<Record<string, readonly Role[]>> = {
  '/test.Jobs/Look': ['submit', 'read'],
  '/test.Jobs/Change': ['submit'],
};

const log = createLog({}, () => {});
const tls = await Tls.open(certificates.of('coordinator'), 'coordinator');
const server = new Server({ interceptors: [requireRoles((path) => TABLE[path] ?? [], log)] });
const answer = (_call: unknown, callback: (error: null, value: Buffer) => void) => callback(null, Buffer.from('yes'));
server.addService(service, { look: answer, change: answer, odd: answer });
const port = await new Promise<number>((resolve, reject) =>
  server.bindAsync('127.0.0.1:0', tls.serverCredentials(), (error, bound) => (error ? reject(error) : resolve(bound))),
);
after(() => {
  server.forceShutdown();
  tls.close();
  certificates.remove();
});

async function call(role: Role, { path, ...definition }: MethodDefinition<Buffer, Buffer>): Promise<string> {
  const own = await Tls.open(certificates.of(role), ['submit', 'read', 'worker']);
  const credentials = own.channelCredentials('127.0.0.1', 'coordinator');
  const client = new Client(`127.0.0.1:${port}`, credentials, serverNameOptions('127.0.0.1'));
  try {
    return await new Promise((resolve, reject) => {
      const { requestSerialize, responseDeserialize } = definition;
      const settle = (error: ServiceError | null, value?: Buffer) => (error ? reject(error) : resolve(String(value)));
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, Buffer.alloc(0), settle);
    });
  } catch (caught) {
    throw fromStatus(caught, 'the server');
  } finally {
    client.close();
    own.close();
  }
}

test('each method serves its roles, and nobody else', async () => {
  assert.equal(await call('read', service.look), 'yes');
  assert.equal(await call('submit', service.look), 'yes');
  assert.equal(await call('submit', service.change), 'yes');
  await assert.rejects(call('read', service.change), {
    code: 'wrong_role',
    message: /got a certificate with role read, expected submit$/,
  });
  await assert.rejects(call('worker', service.look), { code: 'wrong_role', message: /expected submit or read$/ });
});

test('a method without roles serves nobody', async () => {
  await assert.rejects(call('submit', service.odd), { code: 'wrong_role' });
});
