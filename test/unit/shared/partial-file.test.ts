// What killed processes left beside a file goes when the file is written again, and nothing else does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { writeFileAtomically } from '../../../coordinator/store/atomic-file.ts';
import { partialPath, removeAbandonedPartials } from '../../../shared/partial-file.ts';
import { formatIdentity, identityOf } from '../../../shared/process-identity.ts';

let folder = '';
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-partial-'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** The identity of a process that was killed while it wrote. */
async function killedWriter(): Promise<string> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const identity = formatIdentity(identityOf(child.pid));
  child.kill('SIGKILL');
  await once(child, 'exit');
  return identity;
}

test('a file that is written again removes what a killed process left of it', async () => {
  const file = path.join(folder, 'model.onnx');
  const dead = await killedWriter();
  const { bootId, ...other } = identityOf();
  const kept = [
    path.basename(partialPath(file)),
    `model.onnx.${formatIdentity({ bootId, ...other, pidNamespace: '1' })}.partial`,
    'model.onnx.notes.partial',
    `model.onnx.data.${dead}.partial`,
    `other.onnx.${dead}.partial`,
  ];
  const abandoned = [
    `model.onnx.${dead}.partial`,
    `model.onnx.${formatIdentity({ ...other, bootId: '0123456789abcdef' })}.partial`,
  ];
  for (const name of [...kept, ...abandoned]) await writeFile(path.join(folder, name), 'half');
  await removeAbandonedPartials(file);
  assert.deepEqual((await readdir(folder)).sort(), kept.toSorted());
  await writeFileAtomically(path.join(folder, 'other.onnx'), ['whole']);
  assert.ok(!(await readdir(folder)).includes(`other.onnx.${dead}.partial`));
  await removeAbandonedPartials(path.join(folder, 'missing', 'model.onnx'));
});
