// The commands of a cluster against a real API server over a real nats-server: what they print, their JSON, their exit
// codes, and the folder that fetch writes.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cluster } from '../../../cli/cluster.ts';
import { jobs } from '../../../cli/jobs.ts';
import { runCommandLine } from '../../../cli/run-command-line.ts';
import type { JobResult } from '../../../coordinator/jobs/job-record.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { type ApiSeat, ApiWorld, blobOf, upload } from '../../support/api-world.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';
import { until } from '../../support/until.ts';

let world: ApiWorld;
let api: ApiSeat;
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-commands-'));
const at = (...parts: string[]) => path.join(folder, ...parts);

before(async () => {
  world = await ApiWorld.open();
  api = await world.seat();
  await writeToyModel(at('bert'), { seed: 1 });
  await writeRows(at('train.jsonl'), toyRows('sentence', { count: 32 }));
  writeFileSync(at('campaign.yaml'), CAMPAIGN);
});
after(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

const CAMPAIGN = `name: toys
defaults: {model: bert, data: train.jsonl, budgets: [0.5], samples: 32}
jobs:
  - name: first
  - name: second
    seed: 1
`;

/** Runs a command in this process. @param signal ends it as Ctrl-C does. */
async function run(words: readonly string[], { signal = new AbortController().signal, onOutput = () => {} } = {}) {
  const written = { stdout: '', stderr: '' };
  const sink = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => {
      written[name] += text;
      onOutput();
    },
  });
  const exitCode = await runCommandLine(words, {
    ...{ stdout: sink('stdout'), stderr: sink('stderr'), cwd: folder, signal, jobs, cluster },
    env: { ESPALIER_COORDINATOR: api.address },
    now: () => performance.now(),
    onExit: () => () => {},
  });
  return { exitCode, ...written };
}

async function json(words: readonly string[]) {
  const { exitCode, stdout, stderr } = await run([...words, '--json']);
  assert.equal(exitCode, 0, stderr);
  return JSON.parse(stdout);
}

/** Submits a campaign of its own and gives the ids of its jobs. */
async function submitted(key: string): Promise<{ campaign: string; ids: string[] }> {
  const { campaign, jobs: stored } = await json(['submit', 'campaign.yaml', '--client-key', key]);
  return { campaign: campaign.id, ids: stored.map(({ id }: { id: string }) => id) };
}

/** Ends a job with these results, as a coordinator does. */
async function finish(id: string, results: readonly JobResult[]): Promise<void> {
  const lease = await api.lease(`runner-${id}`);
  const job = await api.store.claim(id, lease, () => false);
  assert.ok(job !== null && job !== 'ended');
  await job.finish(results);
}

async function fail(id: string): Promise<void> {
  const lease = await api.lease(`runner-${id}`);
  const job = await api.store.claim(id, lease, () => false);
  assert.ok(job !== null && job !== 'ended');
  await job.fail({ code: 'model_format', message: 'bert: odd', action: 'save it again' });
}

async function result(budget: string): Promise<{ result: JobResult; bytes: Map<string, Buffer> }> {
  const bytes = new Map(
    ['config.json', 'model.safetensors', 'masks.json', 'report.json'].map((name) => [
      name,
      Buffer.from(name === 'model.safetensors' ? `weights ${budget} `.repeat(100_000) : `{"of":"${name} ${budget}"}`),
    ]),
  );
  const files = [];
  for (const [name, content] of bytes) {
    const blob = blobOf(content);
    await upload(api.blobs, blob);
    files.push({ name, digest: blob.digest, sizeBytes: blob.sizeBytes });
  }
  return { result: { budget, files, report: { of: 'report' } }, bytes };
}

describe('the flags of every command of a cluster', () => {
  const docs = readFileSync(path.join(projectRoot(), 'docs/cli.md'), 'utf8');
  const shared = docs.slice(docs.indexOf('### Flags of all commands of a cluster'));
  for (const [command, heading] of [
    ['submit', 'submit'],
    ['list', 'list'],
    ['status', 'status'],
    ['watch', 'watch'],
    ['logs', 'logs'],
    ['cancel', 'cancel, retry, delete'],
    ['retry', 'cancel, retry, delete'],
    ['delete', 'cancel, retry, delete'],
    ['fetch', 'fetch'],
  ] as const)
    it(`${command}: are those of docs/cli.md`, async () => {
      const { exitCode, stdout } = await run([command, '--help']);
      assert.equal(exitCode, 0);
      const from = docs.indexOf(`### espalier ${heading}\n`);
      assert.ok(from > 0, heading);
      const own = docs.slice(from, docs.indexOf('\n### ', from + 1));
      const inHelp = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag!);
      const inDocs = [...own.matchAll(/`(--[a-z-]+)[^`]*`/g)].map(([, flag]) => flag!);
      assert.ok(inHelp.length >= 6, stdout);
      for (const flag of inHelp)
        assert.ok(
          flag === '--help' || own.includes(`\`${flag}`) || shared.includes(`| \`${flag}`),
          `${flag} is not documented`,
        );
      for (const flag of inDocs) assert.ok(inHelp.includes(flag), `${flag} is not in the help`);
    });
});

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
      readdirSync(folder).filter((name) => name.startsWith('.evil')),
      [],
    );
  });
});

describe('mistakes', () => {
  const campaign = (name: string, text: string | Buffer) => {
    writeFileSync(at(name), text);
    return ['submit', name, '--quiet'];
  };
  const jobsOf = (text: string) => `name: a\njobs:\n${text}`;
  const job = '{model: bert, data: train.jsonl, budgets: [0.5]}';
  for (const [what, words, exitCode, text] of [
    [
      'no coordinator',
      () => ['list', '--coordinator', '127.0.0.1:1'],
      8,
      /\[coordinator_unavailable\] 127\.0\.0\.1:1: .*; check that/,
    ],
    [
      'a port that is none',
      () => ['list', '--coordinator', 'localhost:x'],
      2,
      /--coordinator: got localhost:x, expected host:port/,
    ],
    ['another machine without TLS', () => ['list', '--coordinator', 'example.org:7070'], 2, /without TLS/],
    ['no campaign file', () => ['submit', 'none.yaml'], 2, /none\.yaml: got nothing, expected a campaign file/],
    ['a folder as campaign', () => ['submit', 'bert'], 2, /bert: got no plain file, expected a campaign file/],
    ['no file named', () => ['submit'], 2, /FILE: missing/],
    ['an empty campaign', () => campaign('empty.yaml', ''), 2, /\[campaign_format\] empty\.yaml/],
    ['tabs', () => campaign('tabs.yaml', 'name: a\njobs:\n\t- model: x\n'), 2, /tabs\.yaml:3: .*tab/i],
    [
      'a name twice',
      () => campaign('twice.yaml', jobsOf(`  - ${job.replace('{', '{name: x, ')}\n`.repeat(2))),
      2,
      /twice\.yaml:4: jobs\[1\]\.name: .*x/,
    ],
    [
      'an unknown key',
      () => campaign('key.yaml', jobsOf(`  - ${job.replace('budgets', 'budget')}\n`)),
      2,
      /key\.yaml:3: .*did you mean budgets/,
    ],
    [
      'a path that leads nowhere',
      () => campaign('path.yaml', jobsOf(`  - ${job.replace('bert', '../bert')}\n`)),
      3,
      /path\.yaml:3: jobs\[0\]\.model: \[model_not_found\]/,
    ],
    ['bytes that are no text', () => campaign('bytes.yaml', Buffer.from([0xff, 0xfe, 0x61])), 2, /not UTF-8/],
    ['an id that is too short', () => ['status', 'abc'], 2, /ID: got abc, expected an id, or the first 4 or more/],
    ['an id that is not there', () => ['status', 'ffffffff'], 8, /\[job_not_found\] ffffffff/],
    ['no id', () => ['cancel'], 2, /ID: missing/],
    ['a state that is none', () => ['list', '--state', 'lost'], 2, /--state: got lost, expected queued, /],
    ['no output folder', () => ['fetch', 'ffffffff'], 2, /--out DIR: missing/],
    [
      'the working folder as output',
      () => ['fetch', 'ffffffff', '--out', '.'],
      2,
      /--out: got \., expected a folder that does not hold/,
    ],
    [
      'a job and a campaign',
      () => ['fetch', 'ffffffff', '--campaign', 'ffffffff', '--out', 'x'],
      2,
      /got jobs as well/,
    ],
  ] as const)
    it(`${what}: one line, exit code ${exitCode}`, async () => {
      const { exitCode: got, stdout, stderr } = await run(words());
      assert.equal(got, exitCode, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, text);
      assert.match(stderr, /^espalier: \[[a-z_]+\] [^\n]+; [^\n]+\n$/m);
      assert.equal(stderr.match(/^espalier: /gm)?.length, 1, stderr);
    });

  it('the same file twice: two campaigns, unless a client key says that it is one', async () => {
    const ids = [await json(['submit', 'campaign.yaml']), await json(['submit', 'campaign.yaml'])].map(
      ({ campaign: { id } }) => id,
    );
    assert.notEqual(ids[0], ids[1]);
  });

  it('a job that was deleted, one that waits: fetch says so and writes nothing', async () => {
    const { ids } = await submitted('for mistakes');
    const waits = await run(['fetch', ids[0]!, '--out', 'mistake']);
    assert.equal(waits.exitCode, 8);
    assert.match(waits.stderr, /got state queued, expected done; wait with `espalier watch [0-9a-f]{16}`/);
    await fail(ids[0]!);
    assert.match((await run(['fetch', ids[0]!, '--out', 'mistake'])).stderr, /the job failed; see `espalier logs/);
    await run(['delete', ids[0]!]);
    assert.match((await run(['fetch', ids[0]!, '--out', 'mistake'])).stderr, /\[job_not_found\]/);
    assert.equal(existsSync(at('mistake')), false);
  });

  it('an interruption says what became of it', async () => {
    const { ids } = await submitted('for interruptions');
    const { result: half } = await result('0.5');
    await finish(ids[0]!, [half]);
    const stop = new AbortController();
    stop.abort(new EspalierError('cancelled', 'interrupted by SIGINT'));
    const options = { signal: stop.signal };
    for (const [words, text] of [
      [['submit', 'campaign.yaml', '--quiet'], /interrupted while the campaign was checked; nothing was submitted/],
      [['fetch', ids[0]!, '--out', 'stopped'], /the fetch was interrupted; nothing is left of what was not whole/],
      [['list'], /interrupted; see `espalier list`/],
    ] as const) {
      const { exitCode, stdout, stderr } = await run(words, options);
      assert.deepEqual([exitCode, stdout], [130, ''], stderr);
      assert.match(stderr, text);
    }
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes('stopped')),
      [],
    );
  });
});
