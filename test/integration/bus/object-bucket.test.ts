// Blobs in a real nats-server: whole or not there, in bounded memory, and readable by stock tools.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { gate, until } from '../../support/until.ts';

const STREAM = 'OBJ_espalier_blobs';
const CHUNK = 512 * 1024;

let server: NatsServer;
let bus: Bus;
let raw: NatsConnection;
let manager: JetStreamManager;
let releases = new Releases();
before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
  raw = await connect({ servers: server.url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  manager = await raw.jetstreamManager();
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await raw?.close();
  await bus?.close();
  await server?.remove();
});

const digestOf = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');

/** Pieces of odd sizes, as a file or a network gives them. */
async function* pieces(content: Uint8Array, pieceBytes = 100_001): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < content.byteLength; i += pieceBytes) yield content.subarray(i, i + pieceBytes);
}

async function put(content: Uint8Array): Promise<string> {
  const digest = digestOf(content);
  await bus.objects.put(digest, content.byteLength, pieces(content));
  return digest;
}

async function get(digest: string, from: Bus = bus): Promise<Buffer> {
  const got: Uint8Array[] = [];
  for await (const chunk of from.objects.open(digest)) got.push(chunk);
  return Buffer.concat(got);
}

async function chunkSubjects(): Promise<string[]> {
  const { state } = await manager.streams.info(STREAM, { subjects_filter: '$O.espalier_blobs.C.>' });
  return Object.keys(state.subjects ?? {});
}

test('content of any size comes back as it was', async () => {
  for (const size of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9 * CHUNK, 11 * CHUNK + 77]) {
    const content = randomBytes(size);
    const digest = await put(content);
    const found = (await bus.objects.find(digest))!;
    assert.deepEqual([found.digest, found.sizeBytes], [digest, size]);
    assert.ok(Math.abs(found.storedAt.getTime() - Date.now()) < 60_000);
    assert.ok((await get(digest)).equals(content), `${size} bytes`);
  }
});

test("the stock client's object store reads it, and lists it", async () => {
  const content = randomBytes(3 * CHUNK + 5);
  const digest = await put(content);
  const store = await raw.jetstream().views.os('espalier_blobs');
  const info = (await store.info(digest))!;
  assert.deepEqual([info.name, info.size, info.chunks], [digest, content.byteLength, 4]);
  assert.ok(Buffer.from((await store.getBlob(digest))!).equals(content), 'with its own check of the digest');
  assert.ok((await store.list()).some(({ name }) => name === digest));
  await bus.objects.delete(digest);
  assert.equal((await store.info(digest))?.deleted, true);
  assert.equal(await store.getBlob(digest), null);
});

test('an object that is there costs no upload, and counts as new again', async () => {
  const content = randomBytes(CHUNK);
  const digest = await put(content);
  const usage = await bus.objects.usage();
  await bus.objects.put(digest, content.byteLength, {
    [Symbol.asyncIterator]: () => assert.fail('content was asked for'),
  });
  assert.equal((await bus.objects.usage()).bytes, usage.bytes);
  await assert.rejects(bus.objects.put(digest, 3, pieces(content)), { code: 'blob_corrupt' });
});

test('of two writers of one blob at once both succeed, and one upload stays', async () => {
  const other = await connectBus(server.settings());
  releases.add(() => other.close());
  const content = randomBytes(5 * CHUNK);
  const digest = digestOf(content);
  const before = (await chunkSubjects()).length;
  const { opened, open } = gate();
  async function* late(): AsyncGenerator<Uint8Array> {
    yield content.subarray(0, 100);
    await opened;
    yield content.subarray(100);
  }
  const writers = [bus, other].map((writer) => writer.objects.put(digest, content.byteLength, late()));
  open();
  await Promise.all(writers);
  assert.equal((await chunkSubjects()).length, before + 1);
  assert.ok((await get(digest)).equals(content));
});

test('content that is not what was announced leaves nothing', async () => {
  const content = randomBytes(2 * CHUNK);
  const before = await chunkSubjects();
  for (const [announced, size, message] of [
    [digestOf(randomBytes(8)), content.byteLength, /got content with digest/],
    [digestOf(content), content.byteLength - 1, /got more than the announced/],
    [digestOf(content), content.byteLength + 1, /got 1048576 bytes, expected 1048577/],
  ] as const) {
    await assert.rejects(bus.objects.put(announced, size, pieces(content)), { code: 'blob_corrupt', message });
    assert.equal(await bus.objects.find(announced), null);
  }
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield content.subarray(0, CHUNK + 3);
    throw new Error('the source broke');
  }
  await assert.rejects(bus.objects.put(digestOf(content), content.byteLength, broken()), {
    message: 'the source broke',
  });
  const stop = new AbortController();
  async function* aborted(): AsyncGenerator<Uint8Array> {
    yield content.subarray(0, CHUNK + 3);
    stop.abort();
    yield content.subarray(CHUNK + 3);
  }
  await assert.rejects(bus.objects.put(digestOf(content), content.byteLength, aborted(), stop.signal), {
    code: 'cancelled',
  });
  assert.deepEqual(await chunkSubjects(), before);
  await assert.rejects(get(digestOf(content)), { code: 'blob_missing' });
  for (const name of ['x', '../../etc/passwd', 'A'.repeat(64), '*'])
    await assert.rejects(bus.objects.find(name), { code: 'protocol' }, name);
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

test('a chunk that was changed, lost or added is noticed by whoever reads', async () => {
  const content = randomBytes(6 * CHUNK);
  const sequencesOf = async (digest: string) => {
    const store = await raw.jetstream().views.os('espalier_blobs');
    const subject = `$O.espalier_blobs.C.${(await store.info(digest))!.nuid}`;
    const { state } = await manager.streams.info(STREAM);
    const sequences: number[] = [];
    for (let seq = state.last_seq; seq > 0 && sequences.length < 6; seq -= 1) {
      const message = await manager.streams.getMessage(STREAM, { seq }).catch(() => null);
      if (message?.subject === subject) sequences.unshift(seq);
    }
    return { subject, sequences };
  };
  const changed = Buffer.from(content.subarray(5 * CHUNK));
  changed[1000]! ^= 1;
  const last = content.subarray(5 * CHUNK);
  for (const [replacements, message] of [
    [[], /524288 of 3145728 bytes are missing$/],
    [[changed], /got content with digest/],
    [[last, last], /more is stored than its/],
  ] as const) {
    const digest = await put(content);
    const { subject, sequences } = await sequencesOf(digest);
    assert.equal(sequences.length, 6);
    await manager.streams.deleteMessage(STREAM, sequences[5]!);
    for (const replacement of replacements) await raw.jetstream().publish(subject, replacement);
    await assert.rejects(get(digest), { code: 'blob_corrupt', message });
    assert.equal(await bus.objects.find(digest), null, 'a damaged object gives its name back');
    await put(content);
    assert.ok((await get(digest)).equals(content), 'put again it is whole');
    await bus.objects.delete(digest);
  }
});

test('a reader never hands over a last chunk that is wrong', async () => {
  const content = randomBytes(CHUNK / 2);
  const digest = await put(content);
  const store = await raw.jetstream().views.os('espalier_blobs');
  const { nuid } = (await store.info(digest))!;
  await manager.streams.purge(STREAM, { filter: `$O.espalier_blobs.C.${nuid}` });
  await raw.jetstream().publish(`$O.espalier_blobs.C.${nuid}`, randomBytes(content.byteLength));
  let came = 0;
  await assert.rejects(
    async () => {
      for await (const chunk of bus.objects.open(digest)) came += chunk.byteLength;
    },
    { code: 'blob_corrupt' },
  );
  assert.equal(came, 0);
});

test('an object that is deleted while it is read is missing, not corrupt', async () => {
  const content = randomBytes(40 * CHUNK);
  const digest = await put(content);
  const reading = bus.objects.open(digest)[Symbol.asyncIterator]();
  await reading.next();
  assert.equal(await bus.objects.delete(digest), true);
  assert.equal(await bus.objects.delete(digest), false);
  await assert.rejects(
    async () => {
      while (!(await reading.next()).done);
    },
    { code: 'blob_missing', message: /deleted while it was read/ },
  );
});

test('a collector that comes late leaves what was put meanwhile', async () => {
  const content = randomBytes(100);
  const seen = new Date((await bus.objects.find(await put(content)))?.storedAt ?? 0);
  assert.equal(await bus.objects.delete(digestOf(content), seen), false, 'not older than it was seen');
  assert.equal(await bus.objects.delete(digestOf(content), new Date(seen.getTime() + 1)), true);
  assert.equal(await bus.objects.find(digestOf(content)), null);
});

test('lists page by page', async () => {
  for await (const { digest } of bus.objects.list()) await bus.objects.delete(digest);
  const digests = new Set<string>();
  for (let i = 0; i < 300; i += 1) digests.add(await put(Buffer.from(`object ${i}`)));
  const listed: string[] = [];
  for await (const { digest, sizeBytes } of bus.objects.list()) {
    listed.push(digest);
    assert.ok(sizeBytes >= 8);
  }
  assert.equal(listed.length, 300);
  assert.deepEqual(new Set(listed), digests);
});

test('memory does not grow with the content', async () => {
  const block = randomBytes(1 << 20);
  const blocks = 400;
  const hash = createHash('sha256');
  for (let i = 0; i < blocks; i += 1) hash.update(block);
  const digest = hash.digest('hex');
  let peakBytes = 0;
  const look = () => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  };
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < blocks; i += 1) {
      look();
      yield block;
    }
  }
  const startBytes = process.memoryUsage.rss();
  await bus.objects.put(digest, blocks << 20, source());
  const putBytes = peakBytes - startBytes;
  let got = 0;
  for await (const chunk of bus.objects.open(digest)) {
    got += chunk.byteLength;
    look();
  }
  assert.equal(got, blocks << 20);
  // What the collector of garbage leaves for later is part of it.
  assert.ok(putBytes < 150 << 20, `put: ${putBytes >> 20} MiB`);
  assert.ok(peakBytes - startBytes < 250 << 20, `both: ${(peakBytes - startBytes) >> 20} MiB`);
});

test('a reader that takes its time is waited for, and one that leaves costs nothing', async () => {
  const content = randomBytes(64 * CHUNK);
  const digest = await put(content);
  const before = raw.stats().inBytes;
  let fetched = 0;
  raw.subscribe('$JS.API.DIRECT.GET.>', { callback: () => (fetched += 1) });
  await raw.flush();
  for await (const _ of bus.objects.open(digest)) break;
  await raw.flush();
  assert.ok(fetched <= 2, `${fetched} batches for one chunk`);
  assert.ok(raw.stats().inBytes - before < CHUNK);
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
