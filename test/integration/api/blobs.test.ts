// Blobs and Artifacts of the API on a real server and a real object store: what comes in is what its digest says, and only
// what a job names goes out.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { uploadInputs } from '../../../cli/upload-inputs.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { fromStatus } from '../../../shared/rpc/status.ts';
import { type ApiSeat, ApiWorld, blobOf, codeOf, inputs, put, upload } from '../../support/api-world.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
let world: ApiWorld;
let api: ApiSeat;
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-blobs-'));

before(async () => {
  world = await ApiWorld.open();
  api = await world.seat({ uploadSilenceMs: 500 });
});
after(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

const header = ({ digest, sizeBytes }: { digest: string; sizeBytes: number }) => ({ header: { digest, sizeBytes } });

async function stored(): Promise<Set<string>> {
  const digests = new Set<string>();
  for await (const { digest } of api.bus.objects.list()) digests.add(digest);
  return digests;
}

describe('Blobs.Put', () => {
  it('stores what its digest says, once or twice, of any size', async () => {
    for (const size of [0, 1, 5 * MIB + 3]) {
      const blob = blobOf(size);
      await upload(api.blobs, blob);
      await upload(api.blobs, blob);
      assert.equal((await api.bus.objects.find(blob.digest))?.sizeBytes, size);
    }
  });

  const right = blobOf(3 * MIB);
  const chunk = { chunk: right.bytes.subarray(0, MIB) };
  for (const [what, messages, code] of [
    ['nothing', [], 'protocol'],
    ['no header', [chunk], 'protocol'],
    ['two headers', [header(right), header(right)], 'protocol'],
    ['a digest that is none', [header({ digest: '../../x', sizeBytes: 1 })], 'protocol'],
    ['a size beyond all bounds', [header({ ...right, sizeBytes: 2 ** 50 })], 'limit_exceeded'],
    ['fewer bytes than announced', [header(right), chunk], 'blob_corrupt'],
    ['more bytes than announced', [header({ ...right, sizeBytes: MIB }), chunk, chunk], 'blob_corrupt'],
    ['other bytes than announced', [header(right), chunk, chunk, chunk], 'blob_corrupt'],
    ['a message of more than 16 MiB', [header(right), { chunk: Buffer.alloc(17 * MIB) }], 'limit_exceeded'],
  ] as const)
    it(`refuses ${what}, of which nothing stays`, async () => {
      const [before, bytes] = [await stored(), (await api.bus.objects.usage()).bytes];
      assert.equal(await codeOf(put(api.blobs, messages)), code);
      assert.deepEqual(await stored(), before);
      await api.bus.objects.removeOrphans(0);
      const left = (await api.bus.objects.usage()).bytes - bytes;
      assert.ok(left < MIB, `${left} bytes are left`);
    });

  it('keeps nothing of a client that vanishes in the middle', async () => {
    const blob = blobOf(4 * MIB);
    const call = api.blobs.put(() => {});
    call.on('error', () => {});
    call.write(header(blob));
    await new Promise<void>((resolve) => call.write({ chunk: blob.bytes.subarray(0, MIB) }, () => resolve()));
    call.cancel();
    await upload(api.blobs, blobOf('after it'));
    assert.equal(await api.bus.objects.find(blob.digest), null);
    await upload(api.blobs, blob);
    assert.equal((await api.bus.objects.find(blob.digest))?.sizeBytes, blob.sizeBytes);
  });

  it('gives up an upload that sends nothing more', async () => {
    const blob = blobOf(2 * MIB);
    const code = await codeOf(
      new Promise<void>((resolve, reject) => {
        const call = api.blobs.put((error) => (error === null ? resolve() : reject(fromStatus(error, 'the API'))));
        call.on('error', () => {});
        call.write(header(blob));
      }),
    );
    assert.equal(code, 'deadline');
  });

  it('takes so many at a time, and more when some are done', async () => {
    const calls = Array.from({ length: 32 }, () => {
      const call = api.blobs.put(() => {});
      call.on('error', () => {});
      call.write(header(blobOf(MIB)));
      return call;
    });
    const busy = async () =>
      (await codeOf(
        upload(api.blobs, blobOf(9)).then(() => {
          throw new Error('taken');
        }),
      ).catch(() => 'taken')) === 'worker_busy';
    let isBusy = false;
    for (let i = 0; i < 100 && !isBusy; i += 1) isBusy = await busy();
    assert.ok(isBusy, 'the thirty-third is refused');
    for (const call of calls) call.cancel();
    let isFree = false;
    for (let i = 0; i < 1000 && !isFree; i += 1) isFree = !(await busy());
    assert.ok(isFree);
  });

  it('refuses blobs and jobs when the store is nearly full, with what it holds', async () => {
    const full = (bus: Bus) =>
      new Proxy(bus, {
        get: (target, name) => {
          const value = Reflect.get(target, name, target);
          if (name !== 'objects') return typeof value === 'function' ? value.bind(target) : value;
          return new Proxy(value as Bus['objects'], {
            get: (objects, method) => {
              if (method === 'usage') return async () => ({ bytes: 899 * MIB, limitBytes: 1000 * MIB });
              const found = Reflect.get(objects, method, objects) as unknown;
              return typeof found === 'function' ? found.bind(objects) : found;
            },
          });
        },
      });
    const seat = await world.seat({ wrap: full });
    await upload(seat.blobs, blobOf(1000));
    await assert.rejects(upload(seat.blobs, blobOf(2 * MIB)), { code: 'store_full', message: /1048\.6 MB.*90 %/ });
  });
});

describe('Blobs.FindMissing', () => {
  it('names each that is not there once', async () => {
    const there = blobOf('there');
    await upload(api.blobs, there);
    const missing = blobOf('missing').digest;
    const client = await world.client([api.address]);
    assert.deepEqual(await client.missing([there.digest, missing, missing]), new Set([missing]));
    const many = Array.from({ length: 2_500 }, (_, i) => blobOf(`many ${i}`).digest);
    assert.equal((await client.missing(many)).size, 2_500);
  });

  it('refuses names that are none, and too many', async () => {
    const client = await world.client([api.address]);
    await assert.rejects(client.missing(['x']), { code: 'protocol' });
    const code = await codeOf(
      new Promise((resolve, reject) => {
        const digests = Array.from({ length: 4097 }, () => 'a'.repeat(64));
        api.blobs.findMissing({ digests }, (error) =>
          error === null ? resolve(null) : reject(fromStatus(error, 'x')),
        );
      }),
    );
    assert.equal(code, 'limit_exceeded');
  });
});

describe('Artifacts.Get', () => {
  it('gives what the record of the job names, and nothing else', async () => {
    const [model, data, other] = [blobOf(3 * MIB + 1), blobOf('{}\n'), blobOf('other')];
    for (const blob of [model, data, other]) await upload(api.blobs, blob);
    const { jobs } = await api.ask.submit({
      clientKey: 'artifacts',
      campaignJson: '{"name":"a","jobs":[{"model":"bert","data":"d.jsonl","budgets":[0.5]}]}',
      inputs: inputs(model, data),
    });
    const { id } = jobs[0]!;
    const client = await world.client([api.address]);
    const file = path.join(folder, 'model');
    let bytes = 0;
    await client.download(id, model, file, (count) => {
      bytes += count;
    });
    assert.ok(readFileSync(file).equals(model.bytes));
    assert.equal(bytes, model.sizeBytes);
    assert.equal(await codeOf(client.download(id, model, '/dev/full', () => {})), 'disk_full');
    assert.equal(await codeOf(client.download(id, other, file, () => {})), 'blob_missing');
    assert.equal(await codeOf(client.download(id, { ...other, digest: '../x' }, file, () => {})), 'protocol');
    assert.equal(await codeOf(client.download('ffffffff', model, file, () => {})), 'job_not_found');
    assert.equal(await codeOf(client.download(id, { ...model, sizeBytes: 5 }, file, () => {})), 'blob_corrupt');
  });
});

describe('uploads of a campaign', () => {
  it('send what is missing, each blob once, also when many inputs share it', async () => {
    const [shared, own, there] = [blobOf(2 * MIB), blobOf('own'), blobOf('already there')];
    await upload(api.blobs, there);
    let opened = 0;
    const file = (blob: ReturnType<typeof blobOf>) => ({
      name: 'x',
      blob: {
        ...blob,
        async *open() {
          opened += 1;
          yield blob.bytes;
        },
      },
    });
    const client = await world.client([api.address]);
    const context = {
      stderr: { write: () => true },
      env: {},
      now: () => 0,
      onExit: () => () => {},
    };
    const campaign = [
      { name: 'a', files: [file(shared), file(there)] },
      { name: 'b', files: [file(shared), file(own)] },
    ];
    const sent = await uploadInputs(client, campaign, context, true);
    assert.deepEqual(sent, { blobs: 2, bytes: shared.sizeBytes + own.sizeBytes });
    assert.equal(opened, 2);
    assert.deepEqual(await uploadInputs(client, campaign, context, true), { blobs: 0, bytes: 0 });
    await until('nothing more', () => opened === 2);
  });
});
