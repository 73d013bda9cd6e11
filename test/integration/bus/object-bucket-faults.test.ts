// Blobs in a real nats-server that is full, or that goes while they are written or read; writers that die.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { CHUNK, digestOf, openObjectBucket, pieces } from '../../support/object-bucket.ts';
import { gate, until } from '../../support/until.ts';

const { server, bus, raw, put, get, chunkSubjects } = await openObjectBucket();
let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

test('a put whose process died is not visible, and its chunks are collected when they are old enough', async () => {
  const kept = await put(randomBytes(CHUNK + 9));
  const content = randomBytes(3 * CHUNK);
  const digest = digestOf(content);
  const dying = await connectBus(server.settings(), { timeoutMs: 500 });
  const before = (await chunkSubjects()).length;
  const { opened: isDead, open: died } = gate();
  async function* unending(): AsyncGenerator<Uint8Array> {
    yield content.subarray(0, 2 * CHUNK);
    await isDead;
    yield content.subarray(2 * CHUNK);
  }
  const putting = dying.objects.put(digest, content.byteLength, unending());
  let count = before;
  for (const end = Date.now() + 10_000; count === before && Date.now() < end; ) count = (await chunkSubjects()).length;
  assert.equal(count, before + 1);
  assert.equal(await bus.objects.find(digest), null);
  // A closed connection can no more clean up than a dead process.
  await dying.close();
  died();
  await assert.rejects(putting, { code: 'bus_unavailable' });
  assert.equal(await bus.objects.removeOrphans(60_000), 0, 'it could be on its way yet');
  assert.equal((await chunkSubjects()).length, before + 1);
  assert.equal(await bus.objects.removeOrphans(0), 1);
  assert.equal((await chunkSubjects()).length, before);
  assert.ok((await bus.objects.find(kept)) !== null);
  assert.equal((await get(kept)).byteLength, CHUNK + 9);
});

test('a full store refuses before it is asked for room, and when another was faster', async () => {
  const { bytes: taken } = await bus.objects.usage();
  // With what is kept free for marks of deletions.
  const limit = taken + 4.5 * CHUNK;
  await connectBus(server.settings(), { create: true, limits: { storeBytes: limit } }).then((other) => other.close());
  assert.equal((await bus.objects.usage()).limitBytes, limit);
  const content = randomBytes(5 * CHUNK);
  const huge = limit;
  await assert.rejects(bus.objects.put(digestOf(content), huge, pieces(content)), {
    code: 'limit_exceeded',
    message: /the whole store has/,
  });
  const before = await chunkSubjects();
  await assert.rejects(
    bus.objects.put(digestOf(content), content.byteLength, { [Symbol.asyncIterator]: () => assert.fail('asked for') }),
    { code: 'store_full', message: /got 2621440 bytes, the store has room for \d+ of its/ },
  );
  // Another fills it between the look and the upload.
  const late = randomBytes(3 * CHUNK);
  const filler = randomBytes(2 * CHUNK);
  async function* afterFilling(): AsyncGenerator<Uint8Array> {
    await put(filler);
    yield late;
  }
  await assert.rejects(bus.objects.put(digestOf(late), late.byteLength, afterFilling()), { code: 'store_full' });
  assert.equal(await bus.objects.find(digestOf(late)), null);
  assert.equal((await chunkSubjects()).length, before.length + 1, 'the filler alone');
  const kept = await connectBus(server.settings(), { create: true });
  assert.equal((await kept.objects.usage()).limitBytes, limit, 'a size that nobody chose anew stays');
  await kept.close();
  await connectBus(server.settings(), { create: true, limits: { storeBytes: 1e9 } }).then((other) => other.close());
  await put(late);
});

test('a store that small blobs have filled to the brim can still delete', async () => {
  const small = await NatsServer.start();
  releases.add(() => small.remove());
  const own = await connectBus(small.settings(), { create: true, limits: { storeBytes: 400_000 } });
  releases.add(() => own.close());
  const digests: string[] = [];
  const fill = async () => {
    for (;;) {
      const content = randomBytes(3_000);
      await own.objects.put(digestOf(content), content.byteLength, pieces(content));
      digests.push(digestOf(content));
    }
  };
  await assert.rejects(fill(), { code: 'store_full' });
  assert.ok(digests.length > 50, `${digests.length}`);
  for (const digest of digests) assert.equal(await own.objects.delete(digest), true);
});

test('where JetStream has less room than the default, streams get what it has', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-small-'));
  releases.add(() => rm(folder, { recursive: true }));
  const configFile = path.join(folder, 'nats.conf');
  await writeFile(configFile, `jetstream { store_dir: "${folder}", max_file_store: 3GB }\n`);
  const small = await NatsServer.start({ configFile });
  releases.add(() => small.remove());
  const own = await connectBus(small.settings(), { create: true });
  releases.add(() => own.close());
  const { limitBytes } = await own.objects.usage();
  assert.ok(limitBytes > 50e6 && limitBytes < 3e9, `${limitBytes}`);
  const content = randomBytes(CHUNK);
  await own.objects.put(digestOf(content), content.byteLength, pieces(content));
  await assert.rejects(connectBus(small.settings(), { create: true, limits: { storeBytes: 100e9 } }), {
    code: 'store_full',
    message: /OBJ_espalier_blobs: NATS does not grant it 100000000000 bytes/,
  });
});

test('a put that loses its server fails, is not visible, and can be made again', async () => {
  const quick = await connectBus(server.settings(), { timeoutMs: 1_000 });
  releases.add(() => quick.close());
  const content = randomBytes(20 * CHUNK);
  async function* interrupted(): AsyncGenerator<Uint8Array> {
    yield content.subarray(0, 10 * CHUNK);
    await server.stop();
    yield content.subarray(10 * CHUNK);
  }
  await assert.rejects(quick.objects.put(digestOf(content), content.byteLength, interrupted()), {
    code: 'bus_unavailable',
  });
  await server.start();
  await until('the connections', () => bus.isConnected && quick.isConnected);
  const answers = () =>
    raw.flush().then(
      () => true,
      () => false,
    );
  await until('the connection below the bus', answers);
  assert.equal(await quick.objects.find(digestOf(content)), null);
  await put(content);
  assert.ok((await get(digestOf(content), quick)).equals(content));
  // A killed server can also bring back chunks that had been removed in its last moments.
  assert.ok((await bus.objects.removeOrphans(0)) >= 1);
  let objects = 0;
  for await (const _ of bus.objects.list()) objects += 1;
  assert.equal((await chunkSubjects()).length, objects);
});

test('a read that loses its server for a moment goes on', async () => {
  const content = randomBytes(40 * CHUNK);
  const digest = await put(content);
  const got: Uint8Array[] = [];
  for await (const chunk of bus.objects.open(digest)) {
    got.push(chunk);
    if (got.length === 8) await server.restart();
  }
  assert.ok(Buffer.concat(got).equals(content));
});
