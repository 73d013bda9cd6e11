// The blob folder: shared by processes, bounded, never wrong.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { link, lstat, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { blobOfBytes, blobOfFile } from '../../../shared/blobs/blob-source.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-store-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (limitBytes = 1e6) => BlobStore.open(path.join(folder, 'blobs'), { limitBytes });
const blobOf = (fill: number, size = 400) => blobOfBytes(Buffer.alloc(size, fill));

async function put(store: BlobStore, fill: number, size?: number): Promise<string> {
  const { digest, sizeBytes, open: read } = blobOf(fill, size);
  await store.put(digest, sizeBytes, read());
  return digest;
}

/** Makes a blob look as if it was last used that many seconds ago. */
async function age(file: string, seconds: number): Promise<void> {
  const then = new Date(Date.now() - seconds * 1000);
  await utimes(file, then, then);
}

test('a blob that was put is found by every process that opens the folder', async () => {
  const digest = await put(await open(), 1);
  const other = await open();
  assert.equal(await other.has(digest), true);
  assert.equal(await other.has(digest, 400), true);
  assert.deepEqual(await readFile(other.path(digest)), Buffer.alloc(400, 1));
  assert.deepEqual(await other.missing([digest, blobOf(2).digest]), [blobOf(2).digest]);
});

test('a blob of another size than its reference says is dropped', async () => {
  const store = await open();
  const digest = await put(store, 1);
  assert.equal(await store.has(digest, 399), false);
  assert.equal(await store.has(digest), false);
});

test('a blob whose bytes the disk has changed is found by the next process that uses it, and dropped', async () => {
  const writer = await open();
  const [damaged, whole] = [await put(writer, 1), await put(writer, 2)];
  assert.equal(await writer.isWhole(damaged), true);
  await writeFile(writer.path(damaged), Buffer.alloc(400, 3));
  const reader = await open();
  assert.equal(await reader.has(damaged, 400), true, 'its size is right');
  assert.equal(await reader.isWhole(damaged), false);
  assert.equal(await reader.has(damaged), false);
  assert.equal(await reader.isWhole(whole), true);
  assert.equal(await put(reader, 1), damaged);
  assert.equal(await reader.isWhole(damaged), true);
});

test('a link to a blob is one of its bytes until somebody writes to it', async () => {
  const store = await open();
  const digest = await put(store, 1);
  const copy = path.join(folder, 'copy');
  await link(store.path(digest), copy);
  assert.equal(await store.isCopy(copy, digest), true);
  // What it touches itself it does not read again, nor does it lose sight of a write from before.
  const long = new Date(0);
  const other = await open();
  await utimes(copy, long, long);
  assert.equal(await other.has(digest), true);
  assert.equal(await other.isCopy(copy, digest), true);
  await writeFile(copy, Buffer.alloc(400, 3));
  assert.equal(await other.isCopy(copy, digest), false);
  assert.equal(await store.has(digest), true, 'its size is right');
  assert.equal(await store.isCopy(copy, digest), false);
});

test('the same blob put by several at once is one blob', async () => {
  const stores = await Promise.all([open(), open(), open()]);
  const digests = await Promise.all(stores.map((store) => put(store, 1)));
  assert.equal(new Set(digests).size, 1);
  assert.equal(await stores[0].has(digests[0]), true);
});

test('beyond the limit the least recently used blob goes, pinned ones stay', async () => {
  const store = await open(1_000);
  const [first, second] = [await put(store, 1), await put(store, 2)];
  await age(store.path(first), 200);
  await age(store.path(second), 100);
  assert.equal(await store.has(first), true, 'asking is a use');
  const third = await put(store, 3);
  assert.deepEqual(await store.missing([first, second, third]), [second]);

  await age(store.path(first), 300);
  const unpin = store.pin([first]);
  const fourth = await put(store, 4);
  assert.deepEqual(await store.missing([first, third, fourth]), [third]);
  unpin();
  await age(store.path(first), 300);
  await put(store, 5);
  assert.equal(await store.has(first), false);
});

test('a use is noted once for tasks that follow each other, by each process', async () => {
  const [store, other] = [await open(), await open()];
  const digest = await put(store, 1);
  assert.equal(await store.has(digest, 400), true);
  await age(store.path(digest), 100);
  const { mtimeMs } = await stat(store.path(digest));
  assert.equal(await store.has(digest, 400), true);
  assert.equal((await stat(store.path(digest))).mtimeMs, mtimeMs);
  assert.equal(await other.has(digest), true);
  assert.ok((await stat(store.path(digest))).mtimeMs > mtimeMs);
  assert.equal(await store.has(digest, 399), false, 'of another size it is none');
  assert.equal(await store.has(digest, 400), false);
});

test('a smaller limit takes effect when the folder is opened', async () => {
  const digest = await put(await open(1_000), 1);
  const smaller = await open(300);
  assert.equal(await smaller.has(digest), false);
});

test('a linked file is there without a copy and outside the limit', async () => {
  const file = path.join(folder, 'model.safetensors');
  await writeFile(file, Buffer.alloc(5_000, 1));
  const store = await open(1_000);
  const { digest, sizeBytes } = await blobOfFile(file);
  await store.link(file, digest);
  await store.link(file, digest);
  assert.equal(sizeBytes, 5_000);
  assert.equal((await stat(store.path(digest))).ino, (await stat(file)).ino);
  const kept = [await put(store, 2), await put(store, 3)];
  assert.deepEqual(await store.missing([digest, ...kept]), []);
});

test('a linked file that is written to is no longer the blob, and is not touched', async () => {
  const file = path.join(folder, 'model.safetensors');
  await writeFile(file, Buffer.alloc(500, 1));
  const before = await stat(file);
  const store = await open();
  const { digest } = await blobOfFile(file);
  await store.link(file, digest);
  assert.equal(await store.has(digest), true);
  assert.equal((await stat(file)).mtimeMs, before.mtimeMs, 'a use leaves the user’s file alone');
  await writeFile(file, Buffer.alloc(500, 2));
  assert.equal(await store.has(digest), false);
  assert.deepEqual(await readFile(file), Buffer.alloc(500, 2));
  // It can be put again.
  await put(store, 1, 500);
  assert.equal(await store.has(digest), true);
});

test('a linked file that its owner deletes is gone, and its link with the next opening', async () => {
  const file = path.join(folder, 'deleted.safetensors');
  await writeFile(file, Buffer.alloc(500, 7));
  const store = await open();
  const { digest } = await blobOfFile(file);
  const target = await store.link(file, digest);
  await rm(file);
  assert.equal(await store.has(digest), false);
  await open();
  await assert.rejects(lstat(target), { code: 'ENOENT' });
});

test('what a killed process was writing is removed, what a living one writes is not', async () => {
  await open();
  const incoming = path.join(folder, 'blobs', 'incoming');
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const living = `${hostname()}.${process.pid}.a`;
  await writeFile(path.join(incoming, `${hostname()}.${dead}.a`), 'half');
  await writeFile(path.join(incoming, living), 'half');
  await writeFile(path.join(incoming, 'another-host.1.a'), 'half');
  await writeFile(path.join(incoming, 'another-host.2.a'), 'half');
  await age(path.join(incoming, 'another-host.2.a'), 2 * 24 * 3600);
  await open();
  assert.deepEqual((await readdir(incoming)).sort(), ['another-host.1.a', living].sort());
});

test('a folder that cannot be made is an error with a code', async () => {
  await writeFile(path.join(folder, 'blobs'), 'a file');
  await assert.rejects(open(), { name: 'EspalierError' });
});
