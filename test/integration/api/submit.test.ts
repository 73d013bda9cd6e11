// Jobs.Submit, List, Get, Cancel, Retry and Delete on a real server: what is stored, and what is refused.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import type { SubmitRequest } from '../../../shared/rpc/generated/espalier/v1/SubmitRequest.ts';
import { type ApiSeat, ApiWorld, blobOf, codeOf, inputs, upload } from '../../support/api-world.ts';
import { until } from '../../support/until.ts';

let world: ApiWorld;
let api: ApiSeat;
const model = blobOf('weights');
const data = blobOf('{"text": "a", "label": 1}\n');

before(async () => {
  world = await ApiWorld.open();
  api = await world.seat();
  for (const blob of [model, data]) await upload(api.blobs, blob);
});
after(() => world.close());

const CAMPAIGN = {
  name: 'trial',
  defaults: { model: 'bert', data: 'd.jsonl', budgets: [0.5] },
  jobs: [{}, { seed: 1 }],
};
const request = (clientKey: string, changes: Partial<SubmitRequest> = {}): SubmitRequest => ({
  clientKey,
  campaignJson: JSON.stringify(CAMPAIGN),
  inputs: inputs(model, data),
  ...changes,
});
const submit = (body: SubmitRequest, metadata?: Metadata) => api.ask.submit(body, metadata);
const list = (body: object) => api.ask.list(body);
const get = (id: string) => api.ask.get({ id });

describe('Jobs.Submit', () => {
  it('stores a campaign once for each key, and refuses other content under the same', async () => {
    const first = await submit(request('once'));
    assert.equal(first.created, true);
    assert.deepEqual(
      first.jobs.map(({ name, state, priority, campaignName }) => [name, state, priority, campaignName]),
      [
        ['bert', 'queued', 0, 'trial'],
        ['bert-2', 'queued', 0, 'trial'],
      ],
    );
    const again = await submit(request('once'));
    assert.deepEqual([again.created, again.campaignId], [false, first.campaignId]);
    assert.deepEqual(again.jobs, first.jobs);
    const other = JSON.stringify({ ...CAMPAIGN, jobs: [{}] });
    assert.equal(await codeOf(submit(request('once', { campaignJson: other }))), 'job_state');
    const at = await Promise.all(Array.from({ length: 4 }, () => submit(request('at once'))));
    assert.equal(at.filter(({ created }) => created).length, 1);
    assert.equal(new Set(at.map(({ campaignId }) => campaignId)).size, 1);
  });

  it('keeps the settings and the files of a job, and the trace that it belongs to', async () => {
    const metadata = new Metadata();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    metadata.set('traceparent', traceparent);
    const { jobs } = await submit(request('kept'), metadata);
    const record = await api.store.read(jobs[1]!.id);
    assert.equal(record.traceparent, traceparent);
    const { model: source, seed, budgets, columns } = record.spec;
    assert.deepEqual([seed, budgets, columns], [1, [{ text: '0.5', value: 0.5 }], {}]);
    assert.deepEqual(source, { kind: 'blobs', label: 'bert', files: inputs(model, data)[0]!.files });
    metadata.set('traceparent', 'nonsense');
    const odd = await submit(request('odd trace'), metadata);
    assert.doesNotMatch((await api.store.read(odd.jobs[0]!.id)).traceparent ?? '', /nonsense/);
  });

  const [bert, jsonl] = inputs(model, data) as [ReturnType<typeof inputs>[0], ReturnType<typeof inputs>[0]];
  const json = (value: unknown) => ({ campaignJson: JSON.stringify(value) });
  const one = (settings: object) => json({ ...CAMPAIGN, jobs: [settings] });
  const files = (...changed: object[]) =>
    ({ inputs: [{ name: 'bert', files: changed }, jsonl] }) as Partial<SubmitRequest>;
  const unknown = blobOf('never uploaded');
  for (const [what, changes, code, text] of [
    ['no key', { clientKey: '' }, 'usage', /^client_key: got "", expected 1 to 128/],
    ['a key that is too long', { clientKey: 'x'.repeat(129) }, 'usage', /^client_key/],
    ['a key with control characters', { clientKey: 'a\nb' }, 'usage', /^client_key/],
    ['a campaign that is no JSON', { campaignJson: '{' }, 'campaign_format', /^campaign_json: /],
    ['a campaign of more than 4 MiB', { campaignJson: ' '.repeat(4 * 1024 * 1024 + 1) }, 'limit_exceeded', /4194305/],
    [
      'a campaign of another form',
      json({ jobs: [{ samples: 0 }] }),
      'campaign_format',
      /name: .*missing; jobs\[0\]\.samples: /,
    ],
    ['a budget that is none', one({ budgets: [2] }), 'budget_out_of_range', /jobs\[0\]\.budgets\[0\]: .*got 2/],
    [
      'jobs that lack something',
      json({ name: 'a', jobs: [{ model: 'bert' }] }),
      'campaign_format',
      /data: .*budgets: /,
    ],
    [
      'a path that has no files',
      one({ model: 'other' }),
      'campaign_format',
      /jobs\[0\]\.model: .*got no files for "other"/,
    ],
    ['a model as data', one({ data: 'bert' }), 'campaign_format', /jobs\[0\]\.data: .*as a model and as data/],
    ['a volume that it has not', one({ eval: { volume: 'x', path: 'a' } }), 'campaign_format', /got volume "x"/],
    ['a way out of a volume', one({ eval: { volume: 'models', path: 'a/../../b' } }), 'campaign_format', /eval\.path/],
    [
      'files that no job names',
      { inputs: [bert, jsonl, { name: 'x', files: [] }] },
      'campaign_format',
      /"x", which no job/,
    ],
    ['one name twice', { inputs: [bert, bert, jsonl] }, 'campaign_format', /got "bert" twice/],
    ['a model without weights', files(bert.files[0]!), 'campaign_format', /got no model\.safetensors/],
    ['a model without config', files(bert.files[1]!), 'campaign_format', /got no config\.json/],
    [
      'a file name with folders',
      files({ ...bert.files[0], name: '../config.json' }),
      'campaign_format',
      /got file "\.\.\/config\.json"/,
    ],
    [
      'a file of no model',
      files(...bert.files, { ...bert.files[0], name: 'x.bin' }),
      'campaign_format',
      /got file "x\.bin"/,
    ],
    ['a file twice', files(...bert.files, bert.files[0]!), 'campaign_format', /got file config\.json twice/],
    [
      'a digest that is none',
      files({ ...bert.files[0], digest: 'ABC' }, bert.files[1]!),
      'campaign_format',
      /got digest "ABC"/,
    ],
    [
      'a size that is none',
      files({ ...bert.files[0], sizeBytes: 2 ** 60 }, bert.files[1]!),
      'campaign_format',
      /expected at most/,
    ],
    [
      'another size than the blob has',
      files({ ...bert.files[0], sizeBytes: 3 }, bert.files[1]!),
      'campaign_format',
      /bytes/,
    ],
    [
      'a blob that is not there',
      files(bert.files[0]!, { name: 'model.safetensors', digest: unknown.digest, sizeBytes: 14 }),
      'blob_missing',
      /^1 of \d files are not in the store: [0-9a-f]{64} \(model\.safetensors\)$/,
    ],
    [
      'blobs that are not there, with all of their names',
      files(
        { ...bert.files[0]!, digest: blobOf('nowhere').digest },
        { name: 'model.safetensors', digest: unknown.digest, sizeBytes: 14 },
      ),
      'blob_missing',
      new RegExp(`^2 of \\d files are not in the store: ${blobOf('nowhere').digest} .*, ${unknown.digest} \\(model`),
    ],
    ['too many files', files(...Array.from({ length: 300 }, () => bert.files[0]!)), 'campaign_format', /300 files/],
  ] as const)
    it(`refuses ${what}, and stores nothing`, async () => {
      const before = (await list({ pageSize: 1000 })).jobs.length;
      await assert.rejects(
        submit({ ...request(`refused ${what}`), ...(changes as Partial<SubmitRequest>) }),
        (error) => {
          assert.ok(error instanceof Error && 'code' in error);
          assert.equal(error.code, code, error.message);
          assert.match(error.message, text);
          return true;
        },
      );
      assert.equal((await list({ pageSize: 1000 })).jobs.length, before);
    });

  it('refuses a message of more than 16 MiB, and goes on', async () => {
    const code = await codeOf(submit(request('large', { campaignJson: ' '.repeat(17 * 1024 * 1024) })));
    assert.equal(code, 'limit_exceeded');
    assert.equal((await list({})).jobs.length > 0, true);
  });
});

describe('Jobs.List', () => {
  it('gives every job once over pages, whatever comes meanwhile', async () => {
    const jobs = Array.from({ length: 7 }, (_, seed) => ({ seed }));
    const { campaignId, jobs: stored } = await submit(request('pages', json7(jobs)));
    const names: string[] = [];
    let pageToken = '';
    do {
      const page = await list({ campaignId, pageSize: 3, pageToken });
      assert.ok(page.jobs.length <= 3);
      names.push(...page.jobs.map(({ id }) => id));
      pageToken = page.nextPageToken;
      await submit(request(`between ${names.length}`));
    } while (pageToken !== '');
    assert.deepEqual(names.sort(), stored.map(({ id }) => id).sort());
  });

  const json7 = (jobs: object[]) => ({ campaignJson: JSON.stringify({ ...CAMPAIGN, name: 'pages', jobs }) });

  it('filters by campaign and state, and leaves results out', async () => {
    const { campaignId, jobs } = await submit(request('filtered'));
    await api.ask.cancel({ id: jobs[0]!.id });
    const cancelled = await list({ campaignId: campaignId.slice(0, 10), states: ['cancelled', 'failed'] });
    assert.deepEqual(
      cancelled.jobs.map(({ id, state, results }) => [id, state, results]),
      [[jobs[0]!.id, 'cancelled', []]],
    );
  });

  for (const [what, body, code] of [
    ['a page that is too large', { pageSize: 1001 }, 'usage'],
    ['a token that is none', { pageToken: 'zzz' }, 'usage'],
    ['a token that is too long', { pageToken: 'z'.repeat(600) }, 'usage'],
    ['a state that is none', { states: ['lost'] }, 'usage'],
    ['a campaign that is no id', { campaignId: '../x' }, 'usage'],
    ['a campaign that is not there', { campaignId: 'ffffffffffff' }, 'job_not_found'],
  ] as const)
    it(`refuses ${what}`, async () => assert.equal(await codeOf(list(body)), code));
});

describe('one job', () => {
  it('is found by a unique prefix, cancelled, queued again and deleted', async () => {
    const { jobs } = await submit(request('one'));
    const { id } = jobs[0]!;
    assert.equal((await get(id.slice(0, 8))).id, id);
    assert.equal((await api.ask.cancel({ id })).state, 'cancelled');
    assert.equal((await api.ask.cancel({ id })).state, 'cancelled');
    assert.equal((await api.ask.retry({ id })).state, 'queued');
    assert.equal(await codeOf(api.ask.retry({ id })), 'job_state');
    assert.equal(await codeOf(api.ask.delete({ id })), 'job_state');
    await api.ask.cancel({ id });
    await api.ask.delete({ id });
    assert.equal(await codeOf(get(id)), 'job_not_found');
  });

  for (const id of ['', 'abc', 'xyz1', '../../x', 'A'.repeat(16), '0'.repeat(65)])
    it(`is not looked for as ${JSON.stringify(id.slice(0, 20))}`, async () =>
      assert.equal(await codeOf(get(id)), 'usage'));

  it('is seen by another coordinator', async () => {
    const second = await world.seat();
    const { jobs } = await submit(request('seen'));
    await until('the other index has it', () => second.store.summary(jobs[0]!.id) !== null);
    const seen = await second.ask.get({ id: jobs[0]!.id });
    assert.equal(seen.campaignName, 'trial');
  });
});
