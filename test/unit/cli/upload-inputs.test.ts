// An upload that takes hours, on a driven clock: a cluster that removes blobs nobody asks for still has all of them at the end.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KEEP_MS, uploadInputs } from '../../../cli/upload-inputs.ts';
import { type BlobSource, blobOfBytes } from '../../../shared/blobs/blob-source.ts';

/** The least that a blob of no record stays, as coordinator/jobs/retention.ts has it. */
const STAYS_MS = 900_000;
const MINUTE_MS = 60_000;

const CONTEXT = { stderr: { write: () => true }, env: {}, now: () => 0, onExit: () => () => {} };

/** A cluster that dates a blob when it is put or asked for, and removes it when that is too long ago. */
class Store {
  readonly sent: string[] = [];
  readonly #dated = new Map<string, number>();
  readonly #t: TestContext;
  #nowMs = 0;

  constructor(t: TestContext) {
    t.mock.timers.enable({ apis: ['setInterval'] });
    this.#t = t;
  }

  has(digest: string): boolean {
    return this.#dated.has(digest);
  }

  put(digest: string): void {
    this.#dated.set(digest, this.#nowMs);
  }

  remove(digest: string): void {
    this.#dated.delete(digest);
  }

  async missing(digests: readonly string[]): Promise<Set<string>> {
    const missing = new Set(digests.filter((digest) => !this.has(digest)));
    for (const digest of digests) if (!missing.has(digest)) this.put(digest);
    return missing;
  }

  /** Takes 20 minutes a blob. */
  async upload({ digest }: BlobSource): Promise<void> {
    for (let minute = 0; minute < 20; minute += 1) await this.#minute();
    this.sent.push(digest);
    this.put(digest);
  }

  async #minute(): Promise<void> {
    this.#nowMs += MINUTE_MS;
    this.#t.mock.timers.tick(MINUTE_MS);
    await nextTurn();
    for (const [digest, atMs] of this.#dated) if (this.#nowMs - atMs > STAYS_MS) this.#dated.delete(digest);
  }
}

function campaignOf(blobs: readonly BlobSource[]) {
  return blobs.map((blob, i) => ({ name: `${i}`, files: [{ name: 'data.jsonl', blob }] }));
}

const blobs = Array.from({ length: 12 }, (_, i) => blobOfBytes(Buffer.from(`row ${i}`)));
const digests = blobs.map(({ digest }) => digest);

test('blobs that were sent first, or were there, are kept until the last one is sent', async (t) => {
  const store = new Store(t);
  const other = blobOfBytes(Buffer.from('of somebody else')).digest;
  store.put(other);
  store.put(digests[0]);
  const sent = await uploadInputs(store, campaignOf(blobs), CONTEXT, true);
  assert.equal(sent.blobs, 11);
  assert.deepEqual(await store.missing(digests), new Set());
  assert.deepEqual([...store.sent].sort(), digests.slice(1).sort(), 'each was sent once');
  assert.equal(store.has(other), false, 'a control: what nobody asks for is removed');
  assert.ok(KEEP_MS < STAYS_MS / 2, 'one question may fail');
});

test('a blob that was lost all the same is sent again, before the submit', async (t) => {
  const store = new Store(t);
  const losing = {
    missing: (asked: readonly string[]) => store.missing(asked),
    upload: async (blob: BlobSource) => {
      await store.upload(blob);
      if (store.sent.length === 4) store.remove(digests[0]);
    },
  };
  const sent = await uploadInputs(losing, campaignOf(blobs), CONTEXT, true);
  assert.equal(sent.blobs, 13);
  assert.equal(store.sent.filter((digest) => digest === digests[0]).length, 2);
  assert.deepEqual(await store.missing(digests), new Set());
});

test('a question that fails ends no upload, and nothing asks on after the end', async (t) => {
  const store = new Store(t);
  let questions = 0;
  const failing = {
    missing: async (asked: readonly string[]) => {
      questions += 1;
      if (questions === 2) throw new Error('away');
      return store.missing(asked);
    },
    upload: (blob: BlobSource) => store.upload(blob),
  };
  assert.equal((await uploadInputs(failing, campaignOf(blobs), CONTEXT, true)).blobs, 12);
  assert.deepEqual(await store.missing(digests), new Set());
  const asked = questions;
  assert.ok(asked > 3, `${asked}`);
  t.mock.timers.tick(10 * KEEP_MS);
  assert.equal(questions, asked);
});
