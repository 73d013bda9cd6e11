// The commands of a cluster against a real API server over a real nats-server: what they print, their JSON, their exit
// codes, and the folder that fetch writes.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { JobResult } from '../../../coordinator/jobs/job-record.ts';
import type { ApiSeat } from '../../support/api-world.ts';
import { CommandWorld } from '../../support/command-world.ts';
import { until } from '../../support/until.ts';
import { sampleReport } from '../../unit/report/sample-reports.ts';

let commands: CommandWorld;
let api: ApiSeat;
const at: CommandWorld['at'] = (...args) => commands.at(...args);
const run: CommandWorld['run'] = (...args) => commands.run(...args);
const json: CommandWorld['json'] = (...args) => commands.json(...args);
const submitted: CommandWorld['submitted'] = (...args) => commands.submitted(...args);
const finish: CommandWorld['finish'] = (...args) => commands.finish(...args);
const fail: CommandWorld['fail'] = (...args) => commands.fail(...args);
const result: CommandWorld['result'] = (...args) => commands.result(...args);

before(async () => {
  commands = await CommandWorld.open();
  api = commands.api;
});
after(() => commands.close());

describe('espalier submit', () => {
  it('checks, uploads once, stores, and says what it did', async () => {
    const dry = await run(['submit', 'campaign.yaml', '--dry-run']);
    assert.deepEqual([dry.exitCode, /toys: checked 2 jobs with .*nothing was sent/.test(dry.stdout)], [0, true]);
    const first = await json(['submit', 'campaign.yaml', '--client-key', 'a']);
    assert.equal(first.created, true);
    assert.ok(first.uploaded.blobs >= 4 && first.uploaded.bytes > 1000, JSON.stringify(first.uploaded));
    assert.deepEqual(
      first.jobs.map(({ name, state, campaign }: Record<string, unknown>) => [name, state, campaign]),
      [
        ['first', 'queued', { id: first.campaign.id, name: 'toys' }],
        ['second', 'queued', { id: first.campaign.id, name: 'toys' }],
      ],
    );
    const again = await json(['submit', 'campaign.yaml', '--client-key', 'a']);
    assert.deepEqual([again.created, again.campaign, again.uploaded], [false, first.campaign, { blobs: 0, bytes: 0 }]);
    const told = await run(['submit', 'campaign.yaml']);
    assert.match(
      told.stdout,
      /Campaign toys \([0-9a-f]{16}\) queued: its files were there already\nNext: espalier watch --campaign .*\nThen: espalier fetch --campaign/,
    );
  });

  it('tells of every problem of models and data with its line, and sends nothing', async () => {
    writeFileSync(at('bad.csv'), 'sentence,label\nhello,9\n');
    writeFileSync(
      at('bad.yaml'),
      `name: bad
defaults: {model: bert, data: train.jsonl, budgets: [0.5], samples: 8}
jobs:
  - model: nowhere
  - data: bad.csv
  - data: missing.jsonl
  - budgets: [0.000001]
  - eval: train.jsonl
    metric: bleu
`,
    );
    const before = (await json(['list', '--limit', '1000'])).jobs.length;
    const { exitCode, stdout, stderr } = await run(['submit', 'bad.yaml', '--quiet']);
    const lines = stderr.trimEnd().split('\n');
    assert.equal(stdout, '');
    assert.equal(exitCode, 2, stderr);
    const expected = [
      /^bad\.yaml:4: jobs\[0\]\.model: \[model_not_found\] .*nowhere: got nothing, expected a folder/,
      /^bad\.yaml:5: jobs\[1\]\.data: \[data_label\] .*bad\.csv/,
      /^bad\.yaml:6: jobs\[2\]\.data: \[data_not_found\] .*missing\.jsonl: not found/,
      /^bad\.yaml:7: jobs\[3\]\.budgets: \[budget_out_of_range\] .*0\.000001/,
      /^bad\.yaml:9: jobs\[4\]\.metric: \[campaign_format\] .*bleu/,
      /^espalier: \[campaign_format\] bad\.yaml: got 5 problems, which are told above; nothing was submitted; /,
    ];
    assert.equal(lines.length, expected.length, stderr);
    for (const [i, pattern] of expected.entries()) assert.match(lines[i]!, pattern);
    assert.equal((await json(['list', '--limit', '1000'])).jobs.length, before);
  });

  it('ends with the code that all problems share', async () => {
    writeFileSync(at('lost.yaml'), 'name: l\njobs: [{model: bert, data: no.csv, budgets: [0.5]}]\n');
    const { exitCode, stderr } = await run(['submit', 'lost.yaml', '--quiet']);
    assert.equal(exitCode, 4);
    assert.match(stderr, /^espalier: \[data_not_found\] lost\.yaml: got a problem, which is told above/m);
  });

  it('with --wait ends as its jobs do', async () => {
    let seen: string[] = [];
    const ended = run(['submit', 'campaign.yaml', '--client-key', 'wait', '--wait', '--json']);
    await until('the jobs', () => {
      const { jobs: found } = api.store.list({ campaign: null, states: ['queued'], pageSize: 2, pageToken: '' });
      seen = found.map(({ id }) => id);
      return api.store.campaignName(found[0]?.campaign ?? '') === 'toys' && seen.length === 2;
    });
    const { ids } = await submitted('wait');
    await finish(ids[0]!, []);
    await fail(ids[1]!);
    const { exitCode, stdout, stderr } = await ended;
    assert.equal(exitCode, 8, stderr);
    assert.match(stderr, /\[job_failed\] 1 of 2 jobs failed: second: \[model_format\] bert: odd; see `espalier logs/);
    const value = JSON.parse(stdout);
    assert.deepEqual(
      value.jobs.map(({ name, state }: Record<string, unknown>) => [name, state]),
      [
        ['first', 'done'],
        ['second', 'failed'],
      ],
    );
  });
});

describe('espalier list, status, cancel, retry, delete', () => {
  it('do what they say, by unique prefixes', async () => {
    const { campaign, ids } = await submitted('life');
    const [first, second] = ids as [string, string];
    const listed = await json(['list', '--campaign', campaign.slice(0, 8), '--state', 'queued,failed']);
    assert.deepEqual(new Set(listed.jobs.map(({ id }: { id: string }) => id)), new Set(ids));
    assert.equal((await json(['list', '--limit', '1'])).hasMore, true);
    const table = await run(['list', '--campaign', campaign]);
    assert.match(
      table.stdout,
      new RegExp(`^id +campaign +name .*\n(.*\n)*${first} +toys ${campaign.slice(0, 8)} +first +queued`, 'm'),
    );
    assert.equal((await json(['status', first.slice(0, 10)])).id, first);
    assert.match((await run(['cancel', first])).stdout, new RegExp(`^${first}  first  cancelled\n$`));
    const mixed = await run(['retry', first, second]);
    assert.equal(mixed.exitCode, 8);
    assert.match(mixed.stdout, /first {2}queued\n$/);
    assert.match(mixed.stderr, /\[job_state\] .*is queued, expected failed or cancelled/);
    await run(['cancel', first, second]);
    assert.match((await run(['status', first])).stdout, /^state +cancelled$/m);
    assert.equal((await json(['delete', first, second])).jobs.length, 2);
    const gone = await run(['status', first]);
    assert.deepEqual([gone.exitCode, gone.stdout], [8, '']);
    assert.match(gone.stderr, /^espalier: \[job_not_found\] /);
  });
});

describe('cancel, retry and delete of a campaign', () => {
  it('do it where it can be done, and say how many they left', async () => {
    const { campaign, ids } = await submitted('by campaign');
    await finish(ids[0]!, []);
    const cancelled = await run(['cancel', '--campaign', campaign]);
    assert.deepEqual([cancelled.exitCode, cancelled.stderr], [0, '']);
    assert.equal(cancelled.stdout, `${ids[1]}  second  cancelled\ncancel: 1 job; 1 left as they were\n`);
    const retried = await json(['retry', '--campaign', campaign]);
    assert.deepEqual([retried.jobs.map(({ state }: { state: string }) => state), retried.left], [['queued'], 1]);
    assert.equal((await json(['delete', '--campaign', campaign])).jobs[0].id, ids[0]);
    await run(['cancel', '--campaign', campaign.slice(0, 4)]);
    assert.match((await run(['delete', '--campaign', campaign])).stdout, /delete: 1 job; 0 left/);
    assert.deepEqual(
      (await json(['list'])).jobs.filter(({ id }: { id: string }) => ids.includes(id)),
      [],
    );
    const both = await run(['cancel', ids[0]!, '--campaign', campaign]);
    assert.deepEqual([both.exitCode, both.stdout], [2, '']);
    assert.match(both.stderr, /--campaign: got jobs as well, expected one of them/);
    assert.equal((await run(['delete', '--campaign', 'ffffffff'])).exitCode, 8);
  });
});

describe('espalier watch and logs', () => {
  it('follow a campaign to its end, in lines and in JSON', async () => {
    const { campaign, ids } = await submitted('watched');
    // Loads what the command needs: what a job does before a watch has begun is not told.
    assert.equal((await run(['watch', 'ffffffffffffffff'])).exitCode, 8);
    const lines = run(['watch', '--campaign', campaign]);
    const objects = run(['watch', '--campaign', campaign, '--json']);
    await finish(ids[0]!, []);
    await api.store.cancel(ids[1]!);
    const told = await lines;
    assert.equal(told.exitCode, 130, told.stderr);
    assert.match(told.stdout, /^first: done$/m);
    assert.match(
      told.stderr,
      /\[cancelled\] 1 of 2 jobs was cancelled: second; `espalier retry [0-9a-f]{16}` queues it again/,
    );
    const values = (await objects).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const states = values.filter(({ job, event }) => job === ids[0] && event?.kind === 'state');
    assert.deepEqual(
      states.map(({ event }) => event.state),
      ['running', 'done'],
    );
    const final = values.filter(({ final: end }) => end !== undefined);
    assert.deepEqual(
      new Map(final.map(({ name, final: end }) => [name, end.state])),
      new Map([
        ['first', 'done'],
        ['second', 'cancelled'],
      ]),
    );
    const logs = await run(['logs', ids[0]!]);
    assert.match(logs.stdout, /^\d{4}-.*Z {2}1 {2}running on runner/m);
    assert.equal((await run(['logs', ids[0]!, '--follow', '--json'])).exitCode, 0);
    assert.equal((await run(['watch', ids[0]!])).exitCode, 0);
  });

  it('leave the job alone when they are interrupted', async () => {
    const { ids } = await submitted('interrupted');
    const interruption = new AbortController();
    const watch = run(['watch', ids[0]!], { signal: interruption.signal });
    await api.bus.events.append(
      ids[0]!,
      Buffer.from('{"time":"2026-01-01T00:00:00Z","attempt":1,"event":{"kind":"notice","text":"x"}}'),
    );
    interruption.abort(new Error('Ctrl-C'));
    const { exitCode, stderr } = await watch;
    assert.equal(exitCode, 130);
    assert.match(stderr, /the watch was interrupted; the jobs go on\n$/);
    assert.equal((await api.store.read(ids[0]!)).state, 'queued');
  });
});

describe('espalier fetch', () => {
  it('writes every budget whole, and replaces nothing without --force', async () => {
    const { ids } = await submitted('fetched');
    const [half, fifth] = [await result('0.5'), await result('0.20')];
    const early = await run(['fetch', ids[0]!, '--out', 'early']);
    assert.deepEqual([early.exitCode, existsSync(at('early'))], [8, false]);
    await finish(ids[0]!, [half.result, fifth.result]);
    const { exitCode, stdout, stderr } = await run(['fetch', ids[0]!, '--out', 'out/pruned']);
    assert.equal(exitCode, 0, stderr);
    assert.equal(stdout, 'Result: out/pruned/0.5\nResult: out/pruned/0.20\n');
    for (const { result: of, bytes } of [half, fifth])
      for (const [name, content] of bytes)
        assert.ok(readFileSync(at('out/pruned', of.budget, name)).equals(content), `${of.budget}/${name}`);
    assert.deepEqual(readdirSync(at('out')), ['pruned']);
    const again = await run(['fetch', ids[0]!, '--out', 'out/pruned']);
    assert.equal(again.exitCode, 5);
    assert.match(again.stderr, /\[output_exists\]/);
    assert.equal((await run(['fetch', ids[0]!, '--out', 'out/pruned', '--force', '--budget', '0.20'])).exitCode, 0);
    assert.deepEqual(readdirSync(at('out/pruned')), ['0.20']);
    const unknown = await run(['fetch', ids[0]!, '--out', 'other', '--budget', '0.3']);
    assert.deepEqual([unknown.exitCode, existsSync(at('other'))], [2, false]);
    mkdirSync(at('mine'));
    writeFileSync(at('mine/thesis.txt'), 'mine');
    assert.equal((await run(['fetch', ids[0]!, '--out', 'mine', '--force'])).exitCode, 5);
    assert.equal(readFileSync(at('mine/thesis.txt'), 'utf8'), 'mine');
  });

  it('brings what a campaign has so far, a folder a job, and later the rest', async () => {
    const { campaign, ids } = await submitted('fetched by campaign');
    const [half, fifth] = [await result('0.5'), await result('0.20')];
    await finish(ids[0]!, [half.result]);
    const early = await run(['fetch', '--campaign', campaign, '--out', 'all']);
    assert.equal(early.exitCode, 8);
    assert.equal(early.stdout, 'Result: all/first/0.5\nfetched 1 of 2 jobs into all\n');
    assert.match(early.stderr, /\[job_state\] 1 job yet to end; wait with `espalier watch --campaign/);
    await finish(ids[1]!, [half.result, fifth.result]);
    const { exitCode, stdout, stderr } = await run([
      'fetch',
      '--campaign',
      campaign.slice(0, 6),
      '--out',
      'all',
      '--json',
    ]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /^first is there already$/m);
    assert.deepEqual(JSON.parse(stdout), {
      jobs: [
        { job: ids[0], name: 'first', folders: ['all/first/0.5'] },
        { job: ids[1], name: 'second', folders: ['all/second/0.5', 'all/second/0.20'] },
      ],
      waiting: [],
    });
    assert.deepEqual(readdirSync(at('all')).sort(), ['first', 'second']);
    assert.ok(readFileSync(at('all/second/0.20/masks.json')).equals(fifth.bytes.get('masks.json')!));
    // A folder of the same name with something else in it is not taken for this job's, and keeps no other from coming.
    writeFileSync(at('all/first/0.5/report.json'), '{}');
    rmSync(at('all/second'), { recursive: true });
    const other = await run(['fetch', ...ids, '--out', 'all']);
    assert.equal(other.exitCode, 5);
    assert.match(
      other.stdout,
      /^Result: all\/second\/0\.5\nResult: all\/second\/0\.20\nfetched 1 of 2 jobs into all\n$/,
    );
    assert.match(other.stderr, /\[output_exists\] .*all\/first: already exists/);
    const twin = await submitted('a twin of it');
    const twice = await run(['fetch', ids[0]!, twin.ids[0]!, '--out', 'twins']);
    assert.deepEqual([twice.exitCode, existsSync(at('twins'))], [2, false]);
    assert.match(twice.stderr, /two jobs of the name first/);
  });

  it('writes the page of each job, and one that compares the jobs of a campaign', async () => {
    const { campaign, ids } = await submitted('fetched with pages');
    for (const [i, id] of ids.entries())
      await finish(id, [(await result('0.5', sampleReport(0.5, { seed: i }))).result]);
    for (const heard of [/downloaded first/, /^first is there already$/m]) {
      const { exitCode, stderr } = await run(['fetch', '--campaign', campaign, '--out', 'pages']);
      assert.equal(exitCode, 0, stderr);
      assert.match(stderr, heard);
      assert.doesNotMatch(stderr, /no .*page|report\.html/);
    }
    assert.deepEqual(readdirSync(at('pages')).sort(), ['first', 'report.html', 'second']);
    assert.deepEqual(readdirSync(at('pages/second')).sort(), ['0.5', 'report.html']);
    const pages = ['report.html', 'first/report.html'].map((file) => readFileSync(at('pages', file), 'utf8'));
    assert.match(pages[0]!, /<h1>toys, compared<\/h1>[\s\S]*href="second\/report\.html"/);
    // The command makes the same page of a job out of what was fetched.
    assert.equal((await run(['report', 'pages/first'])).exitCode, 0);
    assert.equal(readFileSync(at('pages/first/report.html'), 'utf8'), pages[1]);
  });

  it('takes no name of a peer for a path, and leaves nothing of what was corrupt', async () => {
    const { ids } = await submitted('evil');
    const { result: good } = await result('0.5');
    const [file] = good.files as [JobResult['files'][0]];
    await finish(ids[0]!, [{ ...good, files: [{ ...file, name: '../evil.json' }] }]);
    const named = await run(['fetch', ids[0]!, '--out', 'evil']);
    assert.equal(named.exitCode, 6);
    assert.match(named.stderr, /\[protocol\] .*result file "\.\.\/evil\.json"/);
    await finish(ids[1]!, [{ ...good, files: [{ ...file, sizeBytes: file.sizeBytes - 1 }] }]);
    const short = await run(['fetch', ids[1]!, '--out', 'evil']);
    assert.equal(short.exitCode, 6);
    assert.match(short.stderr, /\[blob_corrupt\]/);
    assert.ok(!existsSync(at('evil')) && !existsSync(at('evil.json')));
    assert.deepEqual(
      readdirSync(commands.folder).filter((name) => name.startsWith('.evil')),
      [],
    );
  });
});
