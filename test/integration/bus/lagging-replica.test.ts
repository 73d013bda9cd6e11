// Blobs of which a replica has less, or other bytes, than the leader of the stream: nothing is deleted for it. The replica is
// played by the test; what the leader says comes from a real nats-server.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import type { Bus } from '../../../shared/bus/bus.ts';
import { type BatchRequest, JetStream, type StoredMessage } from '../../../shared/bus/jet-stream.ts';
import type { Link } from '../../../shared/bus/link.ts';
import { connectBus, connectLink } from '../../../shared/bus/nats-bus.ts';
import { NatsObjectBucket } from '../../../shared/bus/object-bucket.ts';
import { ALL_OBJECTS } from '../../../shared/bus/object-layout.ts';
import { NatsServer } from '../../support/nats-server.ts';

const CHUNK = 512 * 1024;

/** What a server of a cluster says while no leader is elected. */
const NO_LEADER = { error: { code: 503, err_code: 10008, description: 'JetStream system temporarily unavailable' } };

/** A replica that answers every batch: with what it has of it. */
class Replica extends JetStream {
  /** What it makes of a message that the leader has; null: it does not have it. */
  has: (message: StoredMessage, request: BatchRequest) => StoredMessage | null = (message) => message;
  batches = 0;

  override async batch(
    stream: string,
    request: BatchRequest,
    onMessage: (message: StoredMessage) => void,
  ): Promise<number> {
    this.batches += 1;
    let got = 0;
    await super.batch(stream, request, (message) => {
      const had = this.has(message, request);
      if (had === null) return;
      got += 1;
      onMessage(had);
    });
    return got;
  }
}

let server: NatsServer;
let bus: Bus;
let connection: NatsConnection;
let link: Link;
let replica: Replica;
let objects: NatsObjectBucket;

before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
  link = await connectLink(server.settings());
  connection = await connect({ servers: server.url });
});
beforeEach(() => {
  replica = new Replica(link);
  objects = new NatsObjectBucket(replica);
});
after(async () => {
  await connection?.close();
  await link?.close();
  await bus?.close();
  await server?.remove();
});

async function put(content: Uint8Array): Promise<string> {
  const digest = createHash('sha256').update(content).digest('hex');
  async function* whole() {
    yield content;
  }
  await bus.objects.put(digest, content.byteLength, whole());
  return digest;
}

async function get(digest: string): Promise<Buffer> {
  const got: Uint8Array[] = [];
  for await (const chunk of objects.open(digest)) got.push(chunk);
  return Buffer.concat(got);
}

test('what a replica that lags does not have yet comes from the leader', async () => {
  const content = randomBytes(6 * CHUNK + 1);
  const digest = await put(content);
  for (const most of [0, 1, 5]) {
    let left = most;
    replica.has = (message) => {
      left -= 1;
      return left >= 0 ? message : null;
    };
    assert.ok((await get(digest)).equals(content), `it has ${most} of 7 chunks`);
  }
  assert.ok((await bus.objects.find(digest)) !== null);
});

test('bytes that are wrong on a replica alone fail the read and delete nothing; the next read asks the leader', async () => {
  const content = randomBytes(3 * CHUNK);
  const digest = await put(content);
  replica.has = (message) => ({ ...message, data: message.data.map((byte, i) => (i === 7 ? byte ^ 1 : byte)) });
  await assert.rejects(get(digest), { code: 'bus_unavailable', message: /a replica of NATS gave other bytes/ });
  assert.ok((await bus.objects.find(digest)) !== null, 'it stays');
  replica.batches = 0;
  assert.ok((await get(digest)).equals(content));
  assert.equal(replica.batches, 0, 'no replica was asked');
});

test('a control: what is damaged at the leader, too, is deleted', async () => {
  const digest = await put(randomBytes(3 * CHUNK));
  const manager = await connection.jetstreamManager();
  const { nuid } = (await (await connection.jetstream().views.os('espalier_blobs')).info(digest))!;
  const subject = `$O.espalier_blobs.C.${nuid}`;
  await manager.streams.purge('OBJ_espalier_blobs', { filter: subject });
  for (let i = 0; i < 3; i += 1) await connection.jetstream().publish(subject, randomBytes(CHUNK));
  await assert.rejects(get(digest), { code: 'blob_corrupt', message: /got content with digest/ });
  assert.equal(await bus.objects.find(digest), null);
});

test('while the leader cannot be asked, nothing is deleted', async () => {
  const digest = await put(randomBytes(2 * CHUNK));
  replica.has = (message) => ({ ...message, data: new Uint8Array(message.data.byteLength) });
  replica.next = () => Promise.reject(Object.assign(new Error('no leader'), { code: 'NO_LEADER' }));
  await assert.rejects(get(digest), { message: 'no leader' });
  assert.ok((await bus.objects.find(digest)) !== null);
});

test('chunks of an object whose name a replica does not have are no orphans', async () => {
  const content = randomBytes(CHUNK);
  const digest = await put(content);
  replica.has = (message, { subject }) => (subject === ALL_OBJECTS ? null : message);
  assert.equal(await objects.removeOrphans(0), 0);
  assert.ok((await get(digest)).equals(content));
});

test('reads from the leader wait for one that is being elected, and outlive a restart', async () => {
  const content = randomBytes(6 * CHUNK);
  const digest = await put(content);
  const request = link.request.bind(link);
  let refusals = 2;
  let restarted = false;
  const electing: Link['request'] = async (...args) => {
    const answer = await request(...args);
    refusals -= 1;
    if (refusals >= 0) return { ...answer, data: new TextEncoder().encode(JSON.stringify(NO_LEADER)) };
    if (refusals === -3) {
      // The answer to what is asked now is never sent.
      server.freeze();
      const lost = request(...args);
      await server.restart();
      restarted = true;
      return lost;
    }
    return answer;
  };
  const jetStream = new Replica(
    new Proxy(link, {
      get: (target, name) => {
        const value = name === 'request' ? electing : Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    }),
  );
  jetStream.has = () => null;
  const got: Uint8Array[] = [];
  for await (const chunk of new NatsObjectBucket(jetStream).open(digest)) got.push(chunk);
  assert.ok(Buffer.concat(got).equals(content));
  assert.ok(restarted && refusals < -5);
});
