// Blobs through a real server: each is sent once, and nothing that is wrong is ever seen.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import { type BlobSource, blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { BlobUploader } from '../../../shared/rpc/blob-upload.ts';
import { connectWorker } from '../../../shared/rpc/channel.ts';
import { startFakeWorker } from '../../support/fake-executor.ts';
import { until } from '../../support/until.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

async function connected(limitBytes = 1e8) {
  const worker = await startFakeWorker({ limitBytes });
  releases.add(() => worker.close());
  const connection = connectWorker(worker.address);
  releases.add(() => connection.close());
  return { ...worker, client: connection.blobs, uploader: new BlobUploader(connection.blobs, worker.address) };
}

/** The same blob, counting how often it is read. */
function counted(blob: BlobSource): BlobSource & { opened: number } {
  const counting = {
    ...blob,
    opened: 0,
    open() {
      counting.opened += 1;
      return blob.open();
    },
  };
  return counting;
}

test('a blob of many chunks arrives whole', async () => {
  const { blobs, uploader } = await connected();
  const bytes = Buffer.from(Uint8Array.from({ length: 5_000_001 }, (_, i) => (i * 31) % 251));
  const [large, empty] = [blobOfBytes(bytes), blobOfBytes(new Uint8Array())];
  await uploader.ensure([large, empty]);
  assert.deepEqual(await readFile(blobs.path(large.digest)), bytes);
  assert.equal((await readFile(blobs.path(empty.digest))).length, 0);
});

test('a blob that many ask for at once is sent once, and one that is there is not sent', async () => {
  const { uploader, client } = await connected();
  const blob = counted(blobOfBytes(Buffer.alloc(3_000_000, 7)));
  await Promise.all(Array.from({ length: 10 }, () => uploader.ensure([blob])));
  await new BlobUploader(client, 'peer').ensure([blob]);
  assert.equal(blob.opened, 1);
});

test('content that does not fit its name is refused and leaves nothing behind', async () => {
  const { blobs, uploader, client } = await connected();
  const right = blobOfBytes(Buffer.alloc(2_500_000, 1));
  const wrong: [BlobSource, RegExp][] = [
    [{ ...right, open: blobOfBytes(Buffer.alloc(2_500_000, 2)).open }, /got content with digest/],
    [{ ...right, open: blobOfBytes(Buffer.alloc(2_400_000, 1)).open }, /got 2400000 bytes, expected 2500000/],
    [{ ...right, open: blobOfBytes(Buffer.alloc(90_000_000, 1)).open }, /got more than the announced 2500000 bytes/],
  ];
  for (const [blob, message] of wrong) await assert.rejects(uploader.ensure([blob]), { code: 'blob_corrupt', message });
  assert.equal(await blobs.has(right.digest), false);
  const incoming = path.join(path.dirname(path.dirname(path.dirname(blobs.path(right.digest)))), 'incoming');
  assert.deepEqual(await readdir(incoming), []);
  // A failure is not remembered.
  await uploader.ensure([right]);
  await new BlobUploader(client, 'peer').ensure([right]);
});

test('a blob beyond the limit of the store is refused before it is taken in', async () => {
  const { uploader } = await connected(1_000_000);
  const blob = blobOfBytes(Buffer.alloc(1_000_001));
  await assert.rejects(uploader.ensure([blob]), { code: 'limit_exceeded', message: /got 1000001 bytes/ });
});

test('an upload that is cut off leaves nothing behind', async () => {
  const { blobs, client } = await connected();
  const { digest, sizeBytes } = blobOfBytes(Buffer.alloc(4_000_000));
  const call = client.put(() => {});
  call.on('error', () => {});
  call.write({ header: { digest, sizeBytes } });
  call.write({ chunk: Buffer.alloc(1_000_000) });
  const incoming = path.join(path.dirname(path.dirname(path.dirname(blobs.path(digest)))), 'incoming');
  await until('it is coming in', () => readdirSync(incoming).length === 1);
  call.cancel();
  await until('it is removed', () => readdirSync(incoming).length === 0);
  assert.equal(await blobs.has(digest), false);
});

test('a source that cannot be read fails the upload, and the next try may work', async () => {
  const { uploader } = await connected();
  const blob = blobOfBytes(Buffer.from('text'));
  const unreadable: BlobSource = {
    ...blob,
    // biome-ignore lint/correctness/useYield: it fails before its first piece
    async *open() {
      throw new Error('ENOENT: weights are gone');
    },
  };
  await assert.rejects(uploader.ensure([unreadable]), { code: 'blob_corrupt', message: /weights are gone/ });
  await uploader.ensure([blob]);
});

test('whoever waits can stop waiting', async () => {
  const { uploader } = await connected();
  const controller = new AbortController();
  const waiting = uploader.ensure([blobOfBytes(Buffer.alloc(1_000_000))], controller.signal);
  controller.abort();
  await assert.rejects(waiting, { code: 'cancelled' });
});
