// Who may call the API over TLS, health, and what reflection tells.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { ClusterClient } from '../../../cli/client/cluster-client.ts';
import { rolesForMethod } from '../../../coordinator/api/method-roles.ts';
import { protocol } from '../../../shared/rpc/protocol.ts';
import type { Role } from '../../../shared/rpc/roles.ts';
import { Tls } from '../../../shared/rpc/tls.ts';
import { type ApiSeat, ApiWorld, blobOf, codeOf } from '../../support/api-world.ts';
import { Certificates } from '../../support/certificates.ts';

let world: ApiWorld;
let secure: ApiSeat;
let plain: ApiSeat;
let tls: Tls;
const certificates = new Certificates(['127.0.0.1']);
const signal = new AbortController().signal;

before(async () => {
  world = await ApiWorld.open();
  tls = await Tls.open(certificates.of('coordinator'), 'coordinator');
  secure = await world.seat({ tls });
  plain = await world.seat();
});
after(async () => {
  await world.close();
  tls.close();
  certificates.remove();
});

const as = (role: Role, files = certificates.of(role)) =>
  ClusterClient.open({ addresses: [secure.address], tls: files }, signal);

describe('roles', () => {
  it('cover every method: what changes nothing is for both', () => {
    const { Jobs, Blobs, Artifacts } = protocol();
    const reading = [Jobs, Blobs, Artifacts]
      .flatMap(({ service }) => Object.values(service).map(({ path }) => path))
      .filter((path) => rolesForMethod(path).includes('read'));
    assert.deepEqual(reading.sort(), [
      '/espalier.v1.Artifacts/Get',
      '/espalier.v1.Jobs/Get',
      '/espalier.v1.Jobs/List',
      '/espalier.v1.Jobs/Watch',
    ]);
    assert.deepEqual(rolesForMethod('/espalier.v1.Jobs/New'), ['submit']);
  });

  it('let "submit" do everything and "read" look', async () => {
    const [submit, read] = [await as('submit'), await as('read')];
    const body = { clientKey: 'x', campaignJson: '{}', inputs: [] };
    try {
      assert.deepEqual((await read.list({ campaign: null, states: [] }, 10)).jobs, []);
      assert.equal(await codeOf(read.get('ffff')), 'job_not_found');
      for (const refused of [read.submit(body), read.cancel('ffff'), read.retry('ffff'), read.delete('ffff')])
        assert.equal(await codeOf(refused), 'wrong_role');
      assert.equal(await codeOf(read.missing([blobOf('x').digest])), 'wrong_role');
      assert.equal(await codeOf(submit.submit(body)), 'campaign_format');
      assert.equal(await codeOf(submit.cancel('ffff')), 'job_not_found');
    } finally {
      submit.close();
      read.close();
    }
  });

  it('are none of a worker, nor of nobody', async () => {
    await assert.rejects(as('worker'), { code: 'wrong_role' });
    const open = await ClusterClient.open({ addresses: [secure.address], tls: null }, signal);
    assert.equal(await codeOf(open.get('ffff')), 'tls');
    open.close();
    const strangers = new Certificates(['127.0.0.1']);
    const stranger = await as('submit', strangers.of('submit'));
    assert.equal(await codeOf(stranger.get('ffff')), 'tls');
    stranger.close();
    strangers.remove();
  });

  it('are asked of the coordinator, too', async () => {
    const impostor = await Tls.open(certificates.of('worker'), 'worker');
    const seat = await world.seat({ tls: impostor });
    const client = await ClusterClient.open({ addresses: [seat.address], tls: certificates.of('submit') }, signal);
    await assert.rejects(client.get('ffff'), { code: 'wrong_role', message: /coordinator/ });
    client.close();
    impostor.close();
  });
});

describe('health and reflection', () => {
  it('say whether each service is served, until it drains', async () => {
    const seat = await world.seat();
    const client = new Client(seat.address, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
    const check = (service: string) =>
      new Promise<number>((resolve, reject) => {
        const name = Buffer.from(service);
        client.makeUnaryRequest(
          '/grpc.health.v1.Health/Check',
          (value: Buffer) => value,
          (value) => value,
          Buffer.concat([Buffer.from([0x0a, name.length]), name]),
          (error, answer) => (error === null ? resolve(answer![1]!) : reject(error)),
        );
      });
    for (const name of ['', 'espalier.v1.Jobs', 'espalier.v1.Artifacts', 'espalier.v1.Blobs'])
      assert.equal(await check(name), 1, name);
    await seat.server.drain(1_000);
    client.close();
  });

  it('list the public services', async () => {
    const client = new Client(plain.address, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
    // ServerReflectionRequest { list_services: "" }
    const answer = await new Promise<Buffer>((resolve, reject) => {
      const identity = (value: Buffer) => value;
      const call = client.makeBidiStreamRequest(
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        identity,
        identity,
      );
      call.on('data', resolve);
      call.on('error', reject);
      call.write(Buffer.from([0x3a, 0x00]));
      call.end();
    });
    for (const name of ['espalier.v1.Jobs', 'espalier.v1.Blobs', 'espalier.v1.Artifacts'])
      assert.ok(answer.includes(name), name);
    assert.ok(!answer.includes('espalier.v1.Worker'), 'a service that a coordinator does not have');
    client.close();
  });
});
