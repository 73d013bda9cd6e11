import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { CliContext, Jobs } from '../../../cli/context.ts';
import { runCommandLine } from '../../../cli/run-command-line.ts';
import { GRADUAL_SETTINGS } from '../../../coordinator/gradual-settings.ts';
import { ERROR_CODES, EspalierError } from '../../../shared/errors.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { pruneReport } from './reports.ts';

const FLAGS = [
  ...['data', 'eval', 'budget', 'out', 'force', 'resume', 'method', 'damping', 'seed', 'samples', 'replacement'],
  ...['search', 'neuron-multiple', 'uniform', 'batch-size', 'length', 'threads', 'runtime'],
  ...['max-drop', 'max-drop-confidence', 'fastest'],
  ...['latency', 'latency-ms', 'latency-table', 'other-machine'],
  ...Object.values(GRADUAL_SETTINGS).map(({ flag }) => flag),
  ...['fisher-group', 'labels', 'macs-length', 'dtype', 'onnx', 'metric', 'max-length', 'stride', 'text-column'],
  ...['text-pair-column', 'label-column', 'question-column', 'context-column', 'answers-column', 'workers', 'worker'],
  ...['tls-ca', 'tls-certificate', 'tls-key', 'insecure', 'device', 'kernels', 'json', 'quiet'],
];
const PRUNE = ['prune', 'bert', '--data', 'a.csv', '--budget', '0.5', '--out', 'pruned'];

async function run(words: readonly string[], jobs: Partial<Jobs> = {}, changes: Partial<CliContext> = {}) {
  const written = { stdout: '', stderr: '' };
  const unexpected = () => Promise.reject(new Error('no job should run'));
  const context: CliContext = {
    stdout: { write: (text) => (written.stdout += text) },
    stderr: { write: (text) => (written.stderr += text) },
    env: {},
    cwd: '/home',
    signal: new AbortController().signal,
    now: () => 0,
    onExit: () => () => {},
    jobs: {
      prune: unexpected,
      evaluate: unexpected,
      profile: unexpected,
      inspect: unexpected,
      export: unexpected,
      ...jobs,
    },
    cluster: { connect: unexpected, openCampaign: unexpected, askHealth: unexpected, serve: unexpected },
    ...changes,
  };
  return { exitCode: await runCommandLine(words, context), ...written };
}

describe('command line', () => {
  it('has every flag in the help of prune and in docs/cli.md', async () => {
    const { exitCode, stdout, stderr } = await run(['prune', '--help']);
    assert.equal(exitCode, 0);
    assert.equal(stderr, '');
    const docs = readFileSync(join(projectRoot(), 'docs/cli.md'), 'utf8');
    for (const flag of FLAGS) {
      assert.match(stdout, new RegExp(`^ +--${flag} `, 'm'));
      assert.match(docs, new RegExp(`^\\| \`--${flag}[ \`]`, 'm'));
    }
    const listed = [...stdout.matchAll(/^ +--([a-z-]+) /gm)].map(([, flag]) => flag);
    assert.deepEqual(listed.sort(), [...FLAGS].sort());
  });

  it('lists its commands with examples, and its version', async () => {
    const { exitCode, stdout } = await run(['--help']);
    assert.equal(exitCode, 0);
    for (const command of ['prune', 'evaluate', 'inspect', 'export'])
      assert.match(stdout, new RegExp(`^  espalier ${command} `, 'm'));
    assert.match((await run(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  });

  for (const [words, line] of [
    [
      [],
      'no command given, expected prune, evaluate, profile, inspect, export, report, submit, list, status, watch, logs, cancel, retry, fetch, ' +
        'delete, health, coordinator or worker; see `espalier --help`',
    ],
    [['prun'], "unknown command 'prun'; did you mean prune; see `espalier --help`"],
    [['prune', '--buget', '1'], "unknown option '--buget'; did you mean --budget; see `espalier prune --help`"],
    [['inspect', '--quiet'], "unknown option '--quiet'; see `espalier inspect --help`"],
    [['prune', '--data'], "option '--data <file>' argument missing; see `espalier prune --help`"],
    [['prune', 'a', '--data', '--out', 'b'], '--data: got --out, expected a value; see `espalier prune --help`'],
    [['prune', 'a', 'b', 'c'], 'got 3 arguments without a flag, expected 1; see `espalier prune --help`'],
    [['inspect'], 'DIR: missing; see `espalier inspect --help`'],
    [['evaluate', 'a'], '--data FILE: missing; see `espalier evaluate --help`'],
    [['export'], 'MODEL: missing; --out FILE.onnx: missing; see `espalier export --help`'],
    [
      ['export', 'a', '--out', 'b.safetensors'],
      '--out: got b.safetensors, expected a name that ends in .onnx; see `espalier export --help`',
    ],
    [
      ['export', 'a', '--out', 'b.onnx', '--dtype', 'bfloat16'],
      '--dtype: got bfloat16, expected float32, float16; see `espalier export --help`',
    ],
  ] as const)
    it(`answers "${words.join(' ')}" with one line and exit code 2`, async () => {
      assert.deepEqual(await run(words), { exitCode: 2, stdout: '', stderr: `espalier: [usage] ${line}\n` });
    });

  it('prints one JSON object with --json, and progress still on standard error', async () => {
    const prune: Jobs['prune'] = async (settings, { onEvent }) => {
      assert.equal(settings.model, 'bert');
      onEvent({ kind: 'notice', text: 'hello' });
      return [pruneReport()];
    };
    const { exitCode, stdout, stderr } = await run([...PRUNE, '--json'], { prune });
    assert.equal(exitCode, 0);
    assert.deepEqual(JSON.parse(stdout), { runs: [pruneReport()] });
    assert.equal(stderr, 'note: hello\n');
    assert.match((await run(PRUNE, { prune })).stdout, /Result: pruned\/0\.5\n$/);
  });

  it('tells of a failed job in one line, with its stack only when asked', async () => {
    const cause = new Error('inner\nline');
    const inspect = () => Promise.reject(new EspalierError('model_format', 'x/config.json: got\nno JSON', { cause }));
    const line = 'espalier: [model_format] x/config.json: got no JSON; save the model again with save_pretrained\n';
    assert.deepEqual(await run(['inspect', 'x'], { inspect }), { exitCode: 3, stdout: '', stderr: line });
    const { stderr } = await run(['inspect', 'x'], { inspect }, { env: { ESPALIER_DEBUG: '1' } });
    assert.ok(stderr.startsWith(line));
    assert.match(stderr, /at .*command-line\.test/);
    assert.match(stderr, /Error: inner/);
    const bug = () => Promise.reject(new TypeError('undefined is not a function'));
    const { exitCode } = await run(['inspect', 'x'], { inspect: bug });
    assert.equal(exitCode, 70);
  });

  it('says how to go on after an interruption', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'espalier-cli-'));
    const prune = () => Promise.reject(new EspalierError('cancelled', 'interrupted by SIGINT'));
    const words = [...PRUNE.slice(0, -1), join(folder, 'out')];
    const early = await run(words, { prune });
    assert.equal(early.exitCode, 130);
    assert.equal(early.stderr, 'espalier: [cancelled] interrupted by SIGINT; run the same command again\n');
    mkdirSync(join(folder, '.out.espalier'));
    writeFileSync(join(folder, '.out.espalier/run.json'), '');
    const late = await run(words, { prune });
    assert.match(late.stderr, /; run the same command with --resume to go on from here\n$/);
    rmSync(folder, { recursive: true });
  });
});

describe('the process', () => {
  const main = join(projectRoot(), 'dist/cli/main.js');

  it('leaves with the exit code of its error', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'inspect', '/nowhere'], { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [3, '']);
    assert.match(stderr, /^espalier: \[model_not_found\] .*\n$/);
  });

  it('is quiet about a reader that has gone', () => {
    const shell = `"${process.execPath}" "${main}" prune --help | true; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', shell], { encoding: 'utf8' });
    assert.deepEqual([stdout, stderr], ['0\n', '']);
  });

  it('says that standard output cannot be written', () => {
    const shell = `"${process.execPath}" "${main}" --help > /dev/full`;
    const { status, stderr } = spawnSync('bash', ['-c', shell], { encoding: 'utf8' });
    assert.equal(status, 5);
    assert.match(stderr, /^espalier: \[disk_full\] .*; free some space\n$/);
  });
});

it('docs/cli.md has the exit code and the action of every error code', () => {
  const docs = readFileSync(join(projectRoot(), 'docs/cli.md'), 'utf8');
  const rows = [...docs.matchAll(/^\| (\d+) \| `([a-z_]+)` \| (.*) \|$/gm)].map(([, exit, code, action]) => [
    code,
    exit,
    action,
  ]);
  const expected = Object.entries(ERROR_CODES).map(([code, meaning]) => [
    code,
    String(meaning.exitCode),
    meaning.action,
  ]);
  assert.deepEqual(rows.sort(), expected.sort());
});
