// No room where the output goes: told before the work starts where it can be known, and a run that meets it in the
// middle can be resumed. On a file system of its own in memory, which only root may mount.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { exampleRun, tunedSubLayers } from '../support/example-run.ts';
import { assertFailed, family, noneLeft, openWorkspace } from '../support/run-cli.ts';

const mounted: string[] = [];
// Before the workspace adds its own: they run in this order.
after(() => {
  for (const folder of mounted) execFileSync('umount', [folder]);
});
const workspace = await openWorkspace();
let unmountable = '';

/** Mounts a file system of this size. */
async function mountSmall(name: string, megabytes: number): Promise<void> {
  await mkdir(workspace.path(name));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', workspace.path(name)], { stdio: 'pipe' });
  mounted.push(workspace.path(name));
}

before(async () => {
  try {
    await mountSmall('tiny', 1);
    await mountSmall('small', 90);
  } catch (error) {
    unmountable = `no file system can be mounted here: ${(error as Error).message.split('\n')[0]}`;
  }
});

test('too little room is told at the start', async (t) => {
  if (unmountable !== '') return t.skip(unmountable);
  const out = workspace.path('tiny/out');
  const finished = await workspace.run(await exampleRun(workspace, 'tiny/out', '--workers', '1'));
  assertFailed(finished, 'disk_full', `${out}: needs `, ' MB are free', 'free some space');
  assert.ok(finished.seconds < 5);
  assert.ok(!existsSync(out));
});

test('room that runs out in the middle ends the run, which can be resumed', async (t) => {
  if (unmountable !== '') return t.skip(unmountable);
  const run = workspace.start(await exampleRun(workspace, 'small/out', '--workers', '2', '--samples', '256'));
  await tunedSubLayers(workspace, 'small/out', 1);
  const members = family(run);
  const filler = workspace.path('small/filler');
  // All that is left: the last piece does not fit.
  await assert.rejects(async () => {
    for (;;) await appendFile(filler, Buffer.alloc(1 << 16));
  }, /ENOSPC/);
  const finished = await run.finished;
  assertFailed(finished, 'disk_full', 'small/', 'ENOSPC: no space left on device');
  await noneLeft(members);
  assert.ok(!existsSync(workspace.path('small/out')));

  await rm(filler);
  const resumed = await workspace.run(
    await exampleRun(workspace, 'small/out', '--workers', '2', '--samples', '256', '--resume'),
  );
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.match(resumed.stderr, /^fisher +reused$/m);
});
