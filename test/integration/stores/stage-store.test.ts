// One test of what every store of stages promises, over the three that there are: files of a folder, a run folder, and the
// cluster's record with a real object store.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { StageEntry } from '../../../coordinator/jobs/job-record.ts';
import { ClusterStages } from '../../../coordinator/store/cluster-stages.ts';
import { openRunFolder } from '../../../coordinator/store/run-folder.ts';
import type { StageStore } from '../../../coordinator/store/stage-store.ts';
import { StateFiles } from '../../../coordinator/store/state-files.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { NatsServer } from '../../support/nats-server.ts';

let folder = '';
let server: NatsServer;
let bus: Bus;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-stages-'));
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
});

after(async () => {
  await bus?.close();
  await server?.remove();
  await rm(folder, { recursive: true, force: true });
});

/** A kind of store; `open` gives what the next process finds under the same name. */
interface Kind {
  readonly name: string;
  open(name: string, onNotice?: (text: string) => void): Promise<StageStore>;
  /** Damages what holds the tensors of a stage. */
  damage(name: string, stage: string): Promise<void>;
}

const records = new Map<string, Map<string, StageEntry>>();
const recordOf = (name: string) => records.get(name) ?? records.set(name, new Map()).get(name)!;

async function damageFile(stages: string, stage: string): Promise<void> {
  const names = await readdir(stages);
  const file = path.join(stages, names.find((name) => name.startsWith(stage) && name.endsWith('.safetensors'))!);
  const bytes = await readFile(file);
  bytes[bytes.length - 1] ^= 1;
  await writeFile(file, bytes);
}

const KINDS: readonly Kind[] = [
  {
    name: 'files',
    open: async (name, onNotice = () => {}) => new StateFiles(path.join(folder, `files-${name}`), onNotice),
    damage: (name, stage) => damageFile(path.join(folder, `files-${name}`), stage),
  },
  {
    name: 'a run folder',
    async open(name, onNotice = () => {}) {
      const out = path.join(folder, `out-${name}`);
      const resume = (await readdir(folder)).includes(`.out-${name}.espalier`);
      const run = await openRunFolder({ out, force: false, resume, fingerprint: {}, onNotice });
      // Whoever opens it next finds the lock free, as after the end of the process.
      await run.close();
      return run;
    },
    damage: (name, stage) => damageFile(path.join(folder, `.out-${name}.espalier/stages`), stage),
  },
  {
    name: 'a cluster',
    open: async (name, onNotice = () => {}) =>
      new ClusterStages({
        stages: Object.fromEntries(recordOf(name)),
        objects: bus.objects,
        commit: async (stage, entry) => {
          // As it goes through a record.
          recordOf(name).set(stage, JSON.parse(JSON.stringify(entry)) as StageEntry);
        },
        onNotice,
      }),
    async damage(name, stage) {
      const entry = recordOf(name).get(stage);
      assert.ok(entry?.kind === 'tensors');
      await bus.objects.delete(entry.digest);
    },
  },
];

const TENSORS: readonly NamedTensor[] = [
  { name: 'sum', dtype: 'F64', shape: [3], data: Float64Array.of(0.1, -0, 3e300) },
  { name: '0', dtype: 'U8', shape: [1, 2], data: Uint8Array.of(1, 255) },
  { name: 'scalar', dtype: 'F32', shape: [], data: Float32Array.of(-1.5) },
  { name: 'empty', dtype: 'F32', shape: [0, 4], data: new Float32Array(0) },
];

for (const kind of KINDS)
  describe(`stages in ${kind.name}`, () => {
    it('are there for the next process, bit by bit', async () => {
      const first = await kind.open('next');
      assert.equal(await first.readJson('plan-ab/x'), null);
      assert.equal(await first.readTensors('plan-ab/fisher'), null);
      await first.writeJson('plan-ab/x', { layers: [1, 2.5], none: null, nested: { text: 'ü' } });
      await first.writeTensors('plan-ab/fisher', TENSORS, { seconds: 1.25, reports: [{ rung: 'ridge' }] });
      for (const store of [first, await kind.open('next')]) {
        assert.deepEqual(await store.readJson('plan-ab/x'), { layers: [1, 2.5], none: null, nested: { text: 'ü' } });
        const stored = await store.readTensors('plan-ab/fisher');
        assert.deepEqual(stored!.tensors, new Map(TENSORS.map((tensor) => [tensor.name, tensor])));
        assert.ok(Object.is((stored!.tensors.get('sum')!.data as Float64Array)[1], -0));
        assert.deepEqual(stored!.meta, { seconds: 1.25, reports: [{ rung: 'ridge' }] });
        assert.equal(await store.readJson('plan-ab/y'), null);
      }
    });

    it('go to files and come from files as what they are in memory', async () => {
      const store = await kind.open('files');
      const [given, taken] = ['given', 'taken'].map((name) => path.join(folder, `${kind.name}-${name}`));
      await writeFile(given, encodeSafetensors(TENSORS));
      assert.equal(await store.readTensorFile('fisher', taken), null);
      await store.writeTensorFile('fisher', given, { seconds: 2.5 });
      await store.writeTensors('small', TENSORS, { seconds: 1.5 });
      await rm(given);
      for (const next of [store, await kind.open('files')]) {
        const stored = await next.readTensors('fisher');
        assert.deepEqual(stored, {
          tensors: new Map(TENSORS.map((tensor) => [tensor.name, tensor])),
          meta: { seconds: 2.5 },
        });
        for (const [name, seconds] of [
          ['fisher', 2.5],
          ['small', 1.5],
        ] as const) {
          assert.deepEqual(await next.readTensorFile(name, taken), { seconds });
          assert.deepEqual(decodeSafetensors(await readFile(taken), taken).tensors, stored!.tensors);
        }
      }
      await kind.damage('files', 'fisher');
      const notices: string[] = [];
      const damaged = await kind.open('files', (text) => notices.push(text));
      assert.equal(await damaged.readTensorFile('fisher', taken), null);
      assert.deepEqual(notices, ['stored fisher is damaged and is computed again']);
    });

    it('are replaced by a later write', async () => {
      const store = await kind.open('replaced');
      for (const value of [1, 2]) {
        await store.writeJson('value', { value });
        await store.writeTensors('tensors', [{ ...TENSORS[2], data: Float32Array.of(value) }], { value });
      }
      for (const again of [store, await kind.open('replaced')]) {
        assert.deepEqual(await again.readJson('value'), { value: 2 });
        const stored = await again.readTensors('tensors');
        assert.deepEqual(stored?.tensors.get('scalar')?.data, Float32Array.of(2));
        assert.deepEqual(stored?.meta, { value: 2 });
      }
    });

    it('of any size come back whole', async () => {
      const store = await kind.open('large');
      const long = { texts: Array.from({ length: 5000 }, (_, i) => `value ${i}`) };
      const data = Float32Array.from({ length: 700_001 }, (_, i) => Math.fround(Math.sin(i)));
      await store.writeJson('long', long);
      await store.writeTensors('wide', [{ name: 'rows', dtype: 'F32', shape: [data.length], data }], long);
      const next = await kind.open('large');
      assert.deepEqual(await next.readJson('long'), long);
      const stored = await next.readTensors('wide');
      assert.deepEqual(stored?.tensors.get('rows')?.data, data);
      assert.deepEqual(stored?.meta, long);
    });

    it('that are damaged count as missing, are told of and can be written again', async () => {
      const notices: string[] = [];
      const first = await kind.open('damaged');
      const data = Uint8Array.from(createHash('sha256').update(`${kind.name}`).digest());
      const tensors: NamedTensor[] = [{ name: 'bytes', dtype: 'U8', shape: [32], data }];
      await first.writeTensors('fisher', tensors);
      await first.writeJson('quality', 1);
      await kind.damage('damaged', 'fisher');
      const second = await kind.open('damaged', (text) => notices.push(text));
      assert.equal(await second.readTensors('fisher'), null);
      assert.deepEqual(notices, ['stored fisher is damaged and is computed again']);
      assert.equal(await second.readJson('quality'), 1);
      await second.writeTensors('fisher', tensors);
      assert.deepEqual((await (await kind.open('damaged')).readTensors('fisher'))?.tensors.get('bytes')?.data, data);
    });

    it('cannot hold numbers that JSON would turn into null', async () => {
      const store = await kind.open('finite');
      await assert.rejects(store.writeJson('value', { loss: Number.NaN }), RangeError);
      await assert.rejects(store.writeTensors('tensors', TENSORS, { loss: Number.POSITIVE_INFINITY }), RangeError);
      assert.equal(await store.readJson('value'), null);
    });

    it('have names that lead nowhere else', async () => {
      const store = await kind.open('names');
      for (const name of ['', '../x', '/x', 'a//b', 'a/..', '.hidden', 'a/.b', 'UPPER', 'a\0', 'a/']) {
        await assert.rejects(store.writeJson(name, 1), { code: 'internal' }, name);
        await assert.rejects(store.writeTensors(name, TENSORS), { code: 'internal' }, name);
        await assert.rejects(async () => store.readJson(name), { code: 'internal' }, name);
        await assert.rejects(async () => store.readTensors(name), { code: 'internal' }, name);
      }
    });
  });

describe('stages in a cluster alone', () => {
  const open = (name: string, commit: (stage: string, entry: StageEntry) => Promise<void>, stages = {}) =>
    new ClusterStages({ stages, objects: bus.objects, commit, onNotice: (text) => assert.fail(`${name}: ${text}`) });

  it('are not stored when the record went to another', async () => {
    const lost = new EspalierError('lease_lost', 'job went to another');
    const store = open('lost', async () => {
      throw lost;
    });
    await assert.rejects(store.writeJson('value', 1), lost);
    await assert.rejects(store.writeTensors('tensors', TENSORS), lost);
    assert.equal(await store.readJson('value'), null);
    assert.equal(await store.readTensors('tensors'), null);
  });

  it('keep only small things in the record', async () => {
    const entries = new Map<string, StageEntry>();
    const store = open('small', async (stage, entry) => void entries.set(stage, entry));
    await store.writeJson('small', 'x'.repeat(16_000));
    await store.writeJson('large', 'x'.repeat(17_000));
    await store.writeTensors('meta', TENSORS, { text: 'x'.repeat(2000) });
    assert.deepEqual(
      [...entries].map(([name, { kind }]) => [name, kind]),
      [
        ['small', 'json'],
        ['large', 'tensors'],
        ['meta', 'tensors'],
      ],
    );
    for (const name of ['large', 'meta']) assert.ok(JSON.stringify(entries.get(name)).length < 300, name);
  });

  it('refuse what the record has no room for, before anything is committed', async () => {
    const entries = new Map<string, StageEntry>();
    const store = open('full', async (stage, entry) => void entries.set(stage, entry));
    await assert.rejects(
      async () => {
        for (let i = 0; i < 64; i++) await store.writeJson(`stage-${i}`, 'x'.repeat(16_000));
      },
      {
        code: 'limit_exceeded',
        message: /^stage-16: got \d+ bytes of stages with it, the record of a job holds 262144$/,
      },
    );
    assert.equal(entries.size, 16);
  });

  it('pass on that the bus is away: what is stored is not computed again for that', async () => {
    const away = new EspalierError('bus_unavailable', 'no connection');
    const entry: StageEntry = { kind: 'tensors', digest: 'a'.repeat(64), sizeBytes: 8, meta: {} };
    const objects = Object.create(bus.objects, {
      open: {
        async *value() {
          yield new Uint8Array(1);
          throw away;
        },
      },
    });
    const store = new ClusterStages({
      ...{ stages: { fisher: entry }, objects, commit: async () => {} },
      onNotice: (text) => assert.fail(text),
    });
    await assert.rejects(store.readTensors('fisher'), away);
  });
});
