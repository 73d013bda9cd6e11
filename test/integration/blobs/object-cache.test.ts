// Objects pulled from a real nats-server into a folder on disk: once a machine, checked, bounded, and stopped when nobody
// waits.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type BlobSource, blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';
import { ObjectCache } from '../../../shared/blobs/object-cache.ts';
import type { Bus, ObjectBucket } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { SmallDisk } from '../../support/small-disk.ts';
import { gate, until } from '../../support/until.ts';

const CHILD = fileURLToPath(new URL('./cache-child.js', import.meta.url));

let nats: NatsServer;
let bus: Bus;
before(async () => {
  nats = await NatsServer.start();
  bus = await connectBus(nats.settings(), { create: true });
});
after(async () => {
  await bus?.close();
  await nats?.remove();
});

function temporaryFolder(t: test.TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-cache-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function stored(bytes: number): Promise<BlobSource> {
  const blob = blobOfBytes(randomBytes(bytes));
  await bus.objects.put(blob.digest, blob.sizeBytes, blob.open());
  return blob;
}

/** A bucket whose reads wait for `open` after their first chunk, and count. */
function slowBucket(): { objects: ObjectBucket; opened: string[]; open: () => void } {
  const { opened: released, open } = gate();
  const opened: string[] = [];
  const objects = Object.create(bus.objects) as ObjectBucket;
  objects.open = async function* (digest, signal) {
    opened.push(digest);
    for await (const chunk of bus.objects.open(digest, signal)) {
      yield chunk;
      await released;
    }
  };
  return { objects, opened, open };
}

const start = (folder: string, { digest, sizeBytes }: BlobSource, work = 'pull') =>
  spawn(process.execPath, [CHILD, folder, nats.url, digest, String(sizeBytes), work], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });

test('several processes that need one object bring it once', async (t) => {
  const folder = temporaryFolder(t);
  const blob = await stored(20_000_000);
  const outcomes = await Promise.all([1, 2, 3].map(() => text(start(folder, blob).stdout)));
  assert.deepEqual(outcomes.sort(), ['found\n', 'found\n', 'pulled\n']);
  assert.deepEqual(readdirSync(path.join(folder, 'locks')), []);
  assert.deepEqual(readdirSync(path.join(folder, 'incoming')), []);
});

test('a process that is killed while it pulls leaves the download to another', async (t) => {
  const folder = temporaryFolder(t);
  const blob = await stored(3_000_000);
  const killed = start(folder, blob, 'hang');
  await once(killed.stdout, 'data');
  const other = start(folder, blob);
  const outcome = text(other.stdout);
  await until('the other waits', () => readdirSync(path.join(folder, 'locks')).length >= 1);
  killed.kill('SIGKILL');
  assert.equal(await outcome, 'pulled\n');
  assert.deepEqual(readdirSync(path.join(folder, 'locks')), []);
});

test('callers of one process share a download, which stops when none of them waits any more', async (t) => {
  const blobs = await BlobStore.open(temporaryFolder(t), { limitBytes: 1e8 });
  const blob = await stored(2_000_000);
  const { objects, opened, open } = slowBucket();
  const pulled: string[] = [];
  const cache = new ObjectCache(objects, blobs, { onPulled: (digest) => pulled.push(digest) });
  const [one, two] = [new AbortController(), new AbortController()];
  const waits = [one, two].map(({ signal }) => cache.fetch(blob.digest, blob.sizeBytes, signal));
  await until('it is opened', () => opened.length === 1);
  one.abort(new EspalierError('cancelled', 'the first went away'));
  await assert.rejects(waits[0], { code: 'cancelled', message: 'the first went away' });
  open();
  const file = await waits[1];
  assert.equal(readFileSync(file).length, blob.sizeBytes);
  assert.deepEqual([opened.length, pulled.length], [1, 1]);

  const second = await stored(2_000_000);
  const slow = slowBucket();
  const stopped = new ObjectCache(slow.objects, blobs);
  const gone = new AbortController();
  const waiting = stopped.fetch(second.digest, second.sizeBytes, gone.signal);
  await until('it is opened', () => slow.opened.length === 1);
  gone.abort(new EspalierError('cancelled', 'all went away'));
  await assert.rejects(waiting, { message: 'all went away' });
  slow.open();
  await until('its lock is free', () => readdirSync(blobs.locksFolder).length === 0);
  assert.equal(await blobs.has(second.digest), false);
  await stopped.fetch(second.digest, second.sizeBytes);
  assert.equal(await blobs.has(second.digest, second.sizeBytes), true);
});

test('no more downloads at once than the limit', async (t) => {
  const blobs = await BlobStore.open(temporaryFolder(t), { limitBytes: 1e8 });
  const sources = await Promise.all([1, 2, 3, 4, 5].map((size) => stored(600_000 + size)));
  const { objects, opened, open } = slowBucket();
  const cache = new ObjectCache(objects, blobs, { mostDownloads: 2 });
  const gone = sources.map(() => new AbortController());
  const waits = sources.map(({ digest, sizeBytes }, i) => cache.fetch(digest, sizeBytes, gone[i].signal));
  await until('two are opened', () => opened.length === 2);
  // Which two is the disk's choice: each looks there first.
  const queued = sources.findIndex(({ digest }) => !opened.includes(digest));
  gone[queued].abort(new EspalierError('cancelled', 'left the queue'));
  await assert.rejects(waits[queued], { message: 'left the queue' });
  assert.equal(opened.length, 2);
  open();
  await Promise.all(waits.filter((_, i) => i !== queued));
  assert.equal(opened.length, 4);
});

test('what is missing, too large, or of another size', async (t) => {
  const blobs = await BlobStore.open(temporaryFolder(t), { limitBytes: 1_000_000 });
  const cache = new ObjectCache(bus.objects, blobs);
  const absent = blobOfBytes(randomBytes(10));
  await assert.rejects(cache.fetch(absent.digest, absent.sizeBytes), {
    code: 'blob_missing',
    message: `${absent.digest}: not in the object store`,
  });
  const large = await stored(1_000_001);
  await assert.rejects(cache.fetch(large.digest, large.sizeBytes), { code: 'limit_exceeded' });
  const small = await stored(100);
  await assert.rejects(cache.fetch(small.digest, 99), { code: 'blob_corrupt' });
  await cache.fetch(small.digest, 100);
});

test('an object whose bytes were changed in the store is refused and never seen', async (t) => {
  const blobs = await BlobStore.open(temporaryFolder(t), { limitBytes: 1e7 });
  const blob = await stored(1_200_000);
  // A bucket that reads other bytes under this name, as a damaged disk of the server would give.
  const objects = Object.create(bus.objects) as ObjectBucket;
  objects.open = async function* (digest, signal) {
    for await (const chunk of bus.objects.open(digest, signal)) {
      const changed = Uint8Array.from(chunk);
      changed[17] ^= 1;
      yield changed;
    }
  };
  await assert.rejects(new ObjectCache(objects, blobs).fetch(blob.digest, blob.sizeBytes), { code: 'blob_corrupt' });
  assert.equal(await blobs.has(blob.digest), false);
  await new ObjectCache(bus.objects, blobs).fetch(blob.digest, blob.sizeBytes);
});

test('a full disk: what is not in use gives way, once', async (t) => {
  const disk = SmallDisk.mount(4);
  if (disk === null) return t.skip('no file system can be mounted here');
  t.after(() => disk.remove());
  const blobs = await BlobStore.open(path.join(disk.folder, 'blobs'), { limitBytes: 1e9 });
  const cache = new ObjectCache(bus.objects, blobs);
  const [first, second, third] = [await stored(1_500_000), await stored(1_500_000), await stored(1_500_000)];
  const unpin = blobs.pin([first.digest]);
  for (const { digest, sizeBytes } of [first, second, third]) await cache.fetch(digest, sizeBytes);
  assert.deepEqual(await blobs.missing([first.digest, second.digest, third.digest]), [second.digest]);
  const large = await stored(3_500_000);
  await assert.rejects(cache.fetch(large.digest, large.sizeBytes), { code: 'disk_full' });
  assert.deepEqual(await blobs.missing([first.digest]), []);
  unpin();
  await cache.fetch(large.digest, large.sizeBytes);
});

test('what is pulled stays under the limit of the folder: the oldest go first, but none that is pinned', async (t) => {
  const folder = temporaryFolder(t);
  const blobs = await BlobStore.open(folder, { limitBytes: 2_500_000 });
  const cache = new ObjectCache(bus.objects, blobs);
  const [first, second, third] = [await stored(1_000_000), await stored(1_000_000), await stored(1_000_000)];
  const unpin = blobs.pin([first.digest]);
  for (const { digest, sizeBytes } of [first, second, third]) await cache.fetch(digest, sizeBytes);
  assert.deepEqual(await blobs.missing([first.digest, second.digest, third.digest]), [second.digest]);
  unpin();
});
