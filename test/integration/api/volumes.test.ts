// Jobs.Submit with inputs on a volume: opened by the coordinator with the checks of `espalier prune` before anything is
// stored, all that is wrong told at once, within bounds of time and number.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { UploadedInput } from '../../../shared/rpc/generated/espalier/v1/UploadedInput.ts';
import { type ApiSeat, ApiWorld, blobOf, codeOf, upload } from '../../support/api-world.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';

let world: ApiWorld;
let api: ApiSeat;
const at = (...parts: string[]) => path.join(world.volume, ...parts);

before(async () => {
  world = await ApiWorld.open();
  api = await world.seat();
  mkdirSync(at('bert'));
  await writeToyModel(at('bert', 'one'), { seed: 1 });
  await writeRows(at('train.jsonl'), toyRows('sentence', { count: 32 }));
  writeFileSync(at('odd.csv'), 'sentence,label\nhello,9\n');
});
after(() => world.close());

const on = (name: string) => ({ volume: 'models', path: name });
const GOOD = { model: on('bert/one'), data: on('train.jsonl'), budgets: ['0.50'], samples: 16 };

async function submit(key: string, jobs: object[], defaults: object = GOOD, inputs: UploadedInput[] = []) {
  return api.ask.submit({ clientKey: key, campaignJson: JSON.stringify({ name: 'v', defaults, jobs }), inputs });
}

async function stored(): Promise<number> {
  return (await api.ask.list({ pageSize: 1000 })).jobs.length;
}

/** Files of a folder as a client uploads them. */
async function uploaded(name: string, folder: string, names: readonly string[]): Promise<UploadedInput> {
  const files = [];
  for (const file of names) {
    const blob = blobOf(readFileSync(path.join(folder, file)));
    await upload(api.blobs, blob);
    files.push({ name: file, digest: blob.digest, sizeBytes: blob.sizeBytes });
  }
  return { name, files };
}

describe('Jobs.Submit with inputs on a volume', () => {
  it('takes what opens, and leaves no file of the check', async () => {
    const { jobs } = await submit('good', [{}, { seed: 1, eval: on('train.jsonl') }]);
    const { spec } = await api.store.read(jobs[0]!.id);
    assert.deepEqual(spec.model, { kind: 'volume', volume: 'models', path: ['bert', 'one'] });
    assert.deepEqual(spec.budgets, [{ text: '0.50', value: 0.5 }]);
    assert.deepEqual(readdirSync(api.scratch), []);
  });

  it('tells of all that is wrong with the place in the campaign, by the names of the campaign, and stores nothing', async () => {
    const earlier = await stored();
    await assert.rejects(
      submit('bad', [
        {},
        { model: on('nowhere') },
        { data: on('odd.csv') },
        { data: on('lost.jsonl'), seed: 1 },
        { eval: on('bert'), seed: 2 },
        { budgets: [0.000001] },
        { eval: on('train.jsonl'), metric: 'bleu' },
        { model: on('train.jsonl'), seed: 3 },
      ]),
      (error) => {
        assert.ok(error instanceof Error && 'code' in error);
        assert.equal(error.code, 'campaign_format');
        for (const text of [
          'jobs[1].model: [model_not_found] models/nowhere: not found',
          'jobs[2].data: [data_label] models/odd.csv',
          'jobs[3].data: [data_not_found] models/lost.jsonl: not found',
          'jobs[4].eval: [data_not_found] models/bert: got a folder, expected a file',
          'jobs[5].budgets: [budget_out_of_range] budget: got 0.000001',
          'jobs[6].metric: [campaign_format]',
          'jobs[7].model: [model_not_found] models/train.jsonl: got a file, expected a folder',
        ])
          assert.ok(error.message.includes(text), `expected "${text}" in: ${error.message}`);
        assert.equal(error.message.match(/\[[a-z_]+\]/g)?.length, 7, error.message);
        assert.ok(!error.message.includes(world.volume) && !error.message.includes(api.scratch), error.message);
        return true;
      },
    );
    assert.equal(await stored(), earlier);
    assert.deepEqual(readdirSync(api.scratch), []);
  });

  it('opens a model of the wrong content, and tells of a mistake of the defaults once', async () => {
    mkdirSync(at('cut'));
    for (const name of readdirSync(at('bert/one')))
      writeFileSync(
        at('cut', name),
        readFileSync(at('bert/one', name)).subarray(0, name.endsWith('.safetensors') ? 900 : undefined),
      );
    await assert.rejects(submit('cut', [{}, { seed: 1 }], { ...GOOD, model: on('cut') }), (error) => {
      assert.ok(error instanceof Error && 'code' in error);
      assert.equal(error.code, 'model_format', error.message);
      assert.match(
        error.message,
        /^campaign: defaults\.model: \[model_format\] model\.safetensors: got a header [^[]*$/,
      );
      return true;
    });
  });

  it('checks data of a volume against a model that was uploaded, and the other way round', async () => {
    const model = await uploaded('bert', at('bert/one'), readdirSync(at('bert/one')));
    const good = await uploaded('d.jsonl', world.volume, ['train.jsonl']);
    const data = { name: 'd.jsonl', files: [{ ...good.files![0]!, name: 'data.jsonl' }] };
    assert.equal((await submit('mixed', [{}], { ...GOOD, model: 'bert' }, [model])).jobs.length, 1);
    assert.equal((await submit('other', [{}], { ...GOOD, data: 'd.jsonl' }, [data])).jobs.length, 1);
    const odd = submit('mixed odd', [{}], { ...GOOD, model: 'bert', data: on('odd.csv') }, [model]);
    assert.equal(await codeOf(odd), 'data_label');
    const lost = blobOf('never uploaded');
    const files = model.files!.map((file) =>
      file.name === 'model.safetensors' ? { ...file, digest: lost.digest, sizeBytes: lost.sizeBytes } : file,
    );
    const missing = submit('mixed lost', [{}], { ...GOOD, model: 'bert' }, [{ name: 'bert', files }]);
    assert.equal(await codeOf(missing), 'blob_missing');
  });

  it('looks at nothing again for a campaign that it has', async () => {
    await writeRows(at('gone.jsonl'), toyRows('sentence', { count: 32 }));
    const first = await submit('gone', [{ data: on('gone.jsonl') }]);
    writeFileSync(at('gone.jsonl'), 'nonsense');
    const again = await submit('gone', [{ data: on('gone.jsonl') }]);
    assert.deepEqual([again.created, again.campaignId], [false, first.campaignId]);
    assert.equal(await codeOf(submit('gone too', [{ data: on('gone.jsonl') }])), 'data_format');
  });

  it('follows no link out of the volume', async () => {
    symlinkSync('/etc/hostname', at('out.csv'));
    const linked = submit('link', [{ data: on('out.csv') }]);
    await assert.rejects(linked, /models\/out\.csv: got a link that leads out of the volume/);
  });

  it('gives up after its time, and takes few at a time', async () => {
    const hurried = await world.seat({ checkMs: 1 });
    const request = { campaignJson: JSON.stringify({ name: 'v', jobs: [GOOD] }), inputs: [] };
    await assert.rejects(hurried.ask.submit({ clientKey: 'late', ...request }), /took more than 0\.001 s to check/);
    assert.ok(!existsSync(hurried.scratch) || readdirSync(hurried.scratch).length === 0);
    const codes = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        api.ask.submit({ clientKey: `many ${i}`, ...request }).then(
          () => 'stored',
          (error) => error.code,
        ),
      ),
    );
    assert.deepEqual([...new Set(codes)].sort(), ['stored', 'worker_busy']);
    assert.equal(codes.filter((code) => code === 'stored').length >= 4, true, String(codes));
  });
});
