// The command itself is killed or interrupted in the middle of a run: no process is left, no output is there, and the
// run can be resumed or started anew.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import { deepRun, tunedSubLayers } from '../support/example-run.ts';
import { descendantsOf } from '../support/processes.ts';
import { errorLine, family, noneLeft, openWorkspace, type Running } from '../support/run-cli.ts';
import type { Finished } from '../support/run-here.ts';
import { until } from '../support/until.ts';

const workspace = await openWorkspace();
const hasScript = /util-linux/.test(String(spawnSync('script', ['--version']).stdout ?? ''));
let undisturbed = '';

before(async () => {
  undisturbed = digestOf(await run('undisturbed'));
});

/** Words of a run that forks two workers. */
function words(out: string, ...flags: string[]): Promise<string[]> {
  return deepRun(workspace, out, '--workers', '2', ...flags);
}

/** The same run where nothing happens to it, on two workers that stay up. */
async function run(out: string, ...flags: string[]): Promise<Finished> {
  return workspace.runOnWorkers(await deepRun(workspace, out, ...flags), 2);
}

function digestOf({ code, stdout, stderr }: Finished): string {
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { runs: { digest: string }[] }).runs[0].digest;
}

/** Starts a run and does something to it as soon as a few sub-layers are tuned. @returns how it ended. */
async function disturb(out: string, disturbance: (running: Running) => void): Promise<Finished> {
  const running = workspace.start(await words(out));
  await tunedSubLayers(workspace, out, 2);
  const members = family(running);
  assert.ok(members.length >= 3, 'the command and two workers');
  disturbance(running);
  const finished = await running.finished;
  await noneLeft(members);
  assert.ok(!existsSync(workspace.path(out)), 'no output');
  return finished;
}

test('kill -9 leaves no process and no output, and --resume goes on', async () => {
  const killed = await disturb('killed', ({ kill }) => kill('SIGKILL'));
  assert.equal(killed.signal, 'SIGKILL');
  const resumed = await workspace.run(await words('killed', '--resume'));
  assert.equal(digestOf(resumed), undisturbed);
  assert.match(resumed.stderr, /^fisher +reused$/m);
  assert.ok(!existsSync(workspace.path('.killed.espalier')));
});

test('kill -9 while workers start leaves no process', async () => {
  const running = workspace.start(await words('starting'));
  await until('both workers are forked', () => family(running).length >= 3);
  const members = family(running);
  running.kill('SIGKILL');
  await running.finished;
  await noneLeft(members);
});

test('without --resume a new run starts over', async () => {
  await disturb('again', ({ kill }) => kill('SIGKILL'));
  const again = await run('again');
  assert.equal(digestOf(again), undisturbed);
  assert.doesNotMatch(again.stderr, /reused/);
});

test('Ctrl-C ends it with 130, says how to resume, and resuming works', async () => {
  const interrupted = await disturb('interrupted', ({ killGroup }) => killGroup('SIGINT'));
  assert.equal(interrupted.code, 130);
  assert.equal(
    errorLine(interrupted),
    'espalier: [cancelled] interrupted by SIGINT; run the same command with --resume to go on from here',
  );
  assert.equal(interrupted.stdout, '');
  const resumed = await run('interrupted', '--resume');
  assert.equal(digestOf(resumed), undisturbed);
  assert.match(resumed.stderr, /^fisher +reused$/m);
});

test('a terminal that closes does the same', {
  skip: !hasScript && 'no terminal to close: script of util-linux is not here',
}, async () => {
  const program = [process.execPath, path.join(projectRoot(), 'cli/espalier.mjs'), ...(await words('closed'))];
  const said = workspace.path('closed.stderr');
  const status = workspace.path('closed.status');
  const command = program.map((word) => `'${word}'`).join(' ');
  // As a login shell, it passes on that the terminal has closed; it stays, to tell how the command ended.
  const shell = `trap 'kill -HUP $!' HUP; ${command} 2> "${said}" & wait $!; wait $!; echo $? > "${status}"`;
  const terminal = spawn('script', ['-qfc', shell, '/dev/null'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, SHELL: '/bin/sh', XDG_CACHE_HOME: workspace.path('cache'), NODE_OPTIONS: '' },
  });
  after(() => terminal.kill('SIGKILL'));
  await tunedSubLayers(workspace, 'closed', 2);
  const members = descendantsOf(terminal.pid!);
  assert.ok(members.length >= 4, 'the shell, the command and two workers');
  terminal.kill('SIGKILL');
  await noneLeft(members);
  assert.equal(readFileSync(status, 'utf8'), '130\n');
  const text = readFileSync(said, 'utf8');
  assert.match(text, /^espalier: \[cancelled\] interrupted by SIGHUP; .* --resume/m);
  assert.doesNotMatch(text, /Assertion/);
  assert.ok(!existsSync(workspace.path('closed')), 'no output');
  const resumed = await run('closed', '--resume');
  assert.equal(digestOf(resumed), undisturbed);
  assert.match(resumed.stderr, /^fisher +reused$/m);
});

test('SIGINT, SIGTERM and SIGHUP to the command alone do the same', async () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const ended = await disturb(`${signal.toLowerCase()}`, ({ kill }) => kill(signal));
    assert.equal(ended.code, 130);
    assert.match(errorLine(ended), new RegExp(`^espalier: \\[cancelled\\] interrupted by ${signal}; .* --resume`));
  }
});

test('--resume with other settings is refused and keeps the state', async () => {
  const refused = await run('sigint', '--resume', '--seed', '5');
  assert.equal(refused.code, 5);
  assert.match(errorLine(refused), /^espalier: \[resume_mismatch\] .*sigint: the earlier run differs: .*seed/);
  assert.ok(existsSync(workspace.path('.sigint.espalier/run.json')));
});
