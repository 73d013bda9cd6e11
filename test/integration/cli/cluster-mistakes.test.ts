// What users of a cluster do wrong, each with one line and its exit code, and flags as documented.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { CommandWorld } from '../../support/command-world.ts';

let commands: CommandWorld;
const at: CommandWorld['at'] = (...args) => commands.at(...args);
const run: CommandWorld['run'] = (...args) => commands.run(...args);
const json: CommandWorld['json'] = (...args) => commands.json(...args);
const submitted: CommandWorld['submitted'] = (...args) => commands.submitted(...args);
const finish: CommandWorld['finish'] = (...args) => commands.finish(...args);
const fail: CommandWorld['fail'] = (...args) => commands.fail(...args);
const result: CommandWorld['result'] = (...args) => commands.result(...args);

before(async () => {
  commands = await CommandWorld.open();
});
after(() => commands.close());

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

  it('all that a coordinator finds wrong on volumes: a line each, as our own mistakes are told', async () => {
    const onVolume = (name: string) => `{volume: models, path: ${name}}`;
    const wrong = [
      `  - {name: a, model: bert, data: ${onVolume('lost.jsonl')}, budgets: [0.5]}`,
      `  - {name: b, model: ${onVolume('nowhere')}, data: train.jsonl, budgets: [0.5]}`,
      `  - name: c\n    model: ${onVolume('gone')}\n    data: ${onVolume('none.csv')}\n    budgets: [0.5]`,
    ];
    const { exitCode, stdout, stderr } = await run(campaign('volumes.yaml', jobsOf(`${wrong.join('\n')}\n`)));
    assert.equal(stdout, '');
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 5, stderr);
    for (const [i, text] of [
      /^volumes\.yaml:3: jobs\[0\]\.data: \[data_not_found\] models\/lost\.jsonl: not found; /,
      /^volumes\.yaml:4: jobs\[1\]\.model: \[model_not_found\] models\/nowhere: not found; /,
      /^volumes\.yaml:6: jobs\[2\]\.model: \[model_not_found\] models\/gone: not found; /,
      /^volumes\.yaml:7: jobs\[2\]\.data: \[data_not_found\] models\/none\.csv: not found; /,
      /^espalier: \[campaign_format\] volumes\.yaml: got 4 problems, which are told above; nothing was submitted; /,
    ].entries())
      assert.match(lines[i]!, text);
    assert.equal(exitCode, 2);
    const alike = await run(campaign('alike.yaml', jobsOf(`${wrong[0]}\n`)));
    assert.equal(alike.exitCode, 4, 'the code that all share');
    assert.match(alike.stderr, /^espalier: \[data_not_found\] alike\.yaml: got a problem, which is told above/m);
  });

  it('of more problems than an answer has room for the others are counted', async () => {
    const jobs = Array.from(
      { length: 300 },
      (_, i) => `  - {name: j${i}, model: {volume: models, path: m${i}}, data: train.jsonl, budgets: [0.5]}\n`,
    );
    const { stderr } = await run(campaign('many.yaml', jobsOf(jobs.join(''))));
    const lines = stderr.trimEnd().split('\n');
    const told = lines.filter((line) => /^many\.yaml:\d+: jobs\[\d+\]\.model: \[model_not_found\]/.test(line)).length;
    assert.ok(told >= 80 && told <= 100, `${told} are told`);
    assert.equal(lines.at(-2), `and ${300 - told} more`);
    assert.match(lines.at(-1)!, /got 300 problems, which are told above/);
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
      readdirSync(commands.folder).filter((name) => name.includes('stopped')),
      [],
    );
  });
});
