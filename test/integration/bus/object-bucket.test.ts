// Blobs in a real nats-server: whole or not there, in bounded memory, and readable by stock tools.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { afterEach, test } from 'node:test';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { ObjectUpload } from '../../../shared/bus/object-upload.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { CHUNK, digestOf, openObjectBucket, pieces, STREAM } from '../../support/object-bucket.ts';
import { gate } from '../../support/until.ts';

const { server, bus, raw, manager, put, get, chunkSubjects } = await openObjectBucket();
let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

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

test('what another connection sends while it is made becomes an object by its end, or leaves nothing', async () => {
  const content = randomBytes(2 * CHUNK + 9);
  const digest = digestOf(content);
  const before = (await chunkSubjects()).length;
  const sent = (end: (upload: ObjectUpload) => Promise<void>) =>
    bus.objects.addSent(content.byteLength, async (plan) => {
      const upload = await ObjectUpload.open({ ...plan, bus: server.settings() });
      try {
        for await (const piece of pieces(content)) await upload.write(piece);
        await end(upload);
        return { digest, ...(await upload.end()) };
      } finally {
        await upload.close();
      }
    });
  await assert.rejects(
    sent(() => Promise.reject(new Error('not finite'))),
    /not finite/,
  );
  assert.equal((await chunkSubjects()).length, before);
  assert.equal(await bus.objects.find(digest), null);
  for (let i = 0; i < 2; i++)
    assert.equal(
      await sent(async (upload) => {
        await upload.end();
        if (i === 0) assert.equal(await bus.objects.find(digest), null, 'nobody has named it');
      }),
      digest,
    );
  assert.equal((await chunkSubjects()).length, before + 1);
  assert.ok((await get(digest)).equals(content));
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
