// Blobs that a job makes for its workers: written once, and found by workers of the same machine without being sent.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { scratchBlob } from '../../../coordinator/job/scratch-blob.ts';
import { BlobStore } from '../../../shared/blobs/blob-store.ts';

const tensors = (value: number) => [
  { name: 'weight', dtype: 'F32' as const, shape: [2], data: Float32Array.of(value, 2) },
];

test('a lent blob is in the folder that workers share, whole, also when it is made again; it goes with the scratch folder', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-'));
  try {
    const scratch = path.join(folder, 'scratch');
    const home = { scratch: async () => scratch };
    const store = await BlobStore.open(path.join(folder, 'store'), { limitBytes: 1e6 });
    const lendBlob = (file: string, digest: string) => store.link(file, digest);
    const lent = await scratchBlob({ home, lendBlob }, tensors(1));
    const own = await scratchBlob({ home }, tensors(3));
    assert.deepEqual(await store.missing([lent.digest, own.digest]), [own.digest]);
    const again = await Promise.all([1, 1].map((value) => scratchBlob({ home, lendBlob }, tensors(value))));
    assert.deepEqual(
      again.map(({ digest }) => digest),
      [lent.digest, lent.digest],
    );
    assert.ok(await store.has(lent.digest, lent.sizeBytes));
    assert.ok(await store.isWhole(lent.digest));
    assert.deepEqual((await readdir(path.join(scratch, 'blobs'))).sort(), [lent.digest, own.digest].sort());
    assert.equal((await readFile(store.path(lent.digest))).byteLength, lent.sizeBytes);
    await rm(scratch, { recursive: true });
    assert.deepEqual(await store.missing([lent.digest]), [lent.digest]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
