// Losing workers in the middle of a run costs time and nothing else; losing all of them ends it in a way to go on from.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { before, test } from 'node:test';
import { exampleRun, tunedSubLayers } from '../support/example-run.ts';
import { startWorker } from '../support/hand-worker.ts';
import { workersOf } from '../support/processes.ts';
import { assertFailed, family, noneLeft, openWorkspace, type Running } from '../support/run-cli.ts';
import type { Finished } from '../support/run-here.ts';
import { until } from '../support/until.ts';

const workspace = await openWorkspace();
let undisturbed = '';

before(async () => {
  undisturbed = digestOf(await workspace.run(await exampleRun(workspace, 'undisturbed', '--workers', '2')));
});

function digestOf({ code, stdout, stderr }: Finished): string {
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { runs: { digest: string }[] }).runs[0].digest;
}

/** Lines of standard error from the first that holds `text` on. */
function linesFrom({ stderr }: Finished, text: string): string[] {
  const lines = stderr.trimEnd().split('\n');
  const first = lines.findIndex((line) => line.includes(text));
  assert.ok(first >= 0, `no "${text}" in: ${stderr}`);
  return lines.slice(first);
}

const MOMENTS: readonly { out: string; stage: string; reached: (run: Running) => Promise<void> }[] = [
  { out: 'fisher', stage: 'fisher', reached: (run) => run.printed(/^evaluate /m) },
  { out: 'tune-begin', stage: 'tune 0.5', reached: (run) => run.printed(/^evaluate 0\.5 .*\n.*\nevaluate 0\.5 /m) },
  { out: 'tune-middle', stage: 'tune 0.5', reached: () => tunedSubLayers(workspace, 'tune-middle', 4) },
];

for (const { out, stage, reached } of MOMENTS)
  test(`one of two workers is killed during ${out}`, async () => {
    const run = workspace.start(await exampleRun(workspace, out, '--workers', '2'));
    await reached(run);
    const members = family(run);
    const [, victim] = workersOf(run.pid);
    process.kill(victim, 'SIGKILL');
    const finished = await run.finished;
    assert.equal(digestOf(finished), undisturbed);
    const [lost, next] = linesFrom(finished, ' lost: ');
    // Whichever is noticed first.
    assert.match(lost, /^worker 127\.0\.0\.1:\d+ lost: (ended by SIGKILL|the connection dropped)$/);
    assert.ok(next.startsWith(stage), `killed in the middle of ${stage}, and then came: ${next}`);
    await noneLeft(members);
  });

test('with no worker left the run ends and can be resumed from its last finished stage', async () => {
  const out = 'all-killed';
  const run = workspace.start(await exampleRun(workspace, out, '--workers', '2'));
  await tunedSubLayers(workspace, out, 2);
  const members = family(run);
  for (const worker of workersOf(run.pid)) process.kill(worker, 'SIGKILL');
  const failed = await run.finished;
  assertFailed(failed, 'no_workers', 'no worker is left', 'ended by SIGKILL', '--resume');
  assert.equal(failed.code, 6);
  await noneLeft(members);
  assert.ok(!existsSync(workspace.path(out)));
  assert.ok(existsSync(workspace.path(`.${out}.espalier/run.json`)));

  const resumed = await workspace.run(await exampleRun(workspace, out, '--workers', '1', '--resume'));
  assert.equal(digestOf(resumed), undisturbed);
  for (const stage of ['fisher', 'search 0.5', 'rearrange 0.5', 'evaluate'])
    assert.match(resumed.stderr, new RegExp(`^${stage} +reused`, 'm'));
  assert.doesNotMatch(resumed.stderr, /^tune 0\.5 +reused/m);
  assert.ok(!existsSync(workspace.path(`.${out}.espalier`)));
});

test('workers that were started by hand come back after a restart and are used again', async () => {
  const [first, second] = await Promise.all([
    startWorker(workspace.path('blobs-1')),
    startWorker(workspace.path('blobs-2')),
  ]);
  const addresses = ['--worker', first.address, '--worker', second.address];
  const run = workspace.start(await exampleRun(workspace, 'by-hand', ...addresses));
  await run.printed(/^evaluate /m);
  await first.kill('SIGKILL');
  await run.printed(`worker ${first.address} lost: `);
  await startWorker(workspace.path('blobs-1'), first.port);
  const joined = () => run.stderr().split(`worker ${first.address} joined: `).length - 1;
  await until('it joins again', () => joined() === 2, 30_000);
  // From here on all the work is done by the one that came back.
  await second.kill('SIGKILL');
  const finished = await run.finished;
  assert.equal(digestOf(finished), undisturbed);
  const after = linesFrom(finished, `worker ${second.address} lost: `);
  assert.ok(
    after.some((line) => line.startsWith('tune 0.5')),
    `the other was killed before tuning ended: ${finished.stderr}`,
  );
});
