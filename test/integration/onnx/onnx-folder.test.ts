// What ONNX Runtime and the files that are made for it leave on a machine: nothing.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { formatIdentity, identityOf, type ProcessIdentity } from '../../../shared/process-identity.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { writeToyModel } from '../../support/toy-model.ts';

/** Opens a model in ONNX Runtime as a worker does, and says whether the folder was there meanwhile. */
const PROGRAM = `
const from = (file) => import(new URL(file, 'file://' + process.argv[1] + '/dist/'));
const { openCheckpoint } = await from('checkpoint/open-checkpoint.js');
const { writeOnnx } = await from('checkpoint/onnx/write-onnx.js');
const { openOnnxSession } = await from('checkpoint/onnx/onnx-session.js');
const { withOnnxFolder } = await from('worker/model/onnx-folder.js');
const checkpoint = await openCheckpoint(process.argv[2]);
const session = await withOnnxFolder(async (folder) => {
  await writeOnnx(checkpoint, folder + '/model.onnx', { dtype: 'F32' });
  return openOnnxSession(folder + '/model.onnx', { threads: 1 });
});
const row = (value) => BigInt64Array.from([value, value]);
const outputs = await session.run({ samples: 1, tokens: 2, inputIds: row(1n), attentionMask: row(1n), tokenTypeIds: row(0n) });
await session.close();
await checkpoint.close();
console.log(Object.keys(outputs).join());
`;

test('a model that ran leaves no file in any folder of the user; folders of processes that are gone are removed', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-left-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const model = await writeToyModel(path.join(folder, 'model'));
  const [home, temporary] = ['home', 'tmp'].map((name) => path.join(folder, name));
  const self = identityOf();
  const named = (owner: ProcessIdentity) => path.join(temporary, `espalier-onnx-${formatIdentity(owner)}-abc`);
  // The worker in a container has the same number each time that the container is started.
  const gone = path.join(named({ ...self, startTicks: '1' }), 'pruned');
  const living = named(self);
  const foreign = path.join(temporary, 'espalier-onnx-4xYz');
  for (const made of [home, gone, living, foreign]) mkdirSync(made, { recursive: true });
  const env = { PATH: process.env.PATH, HOME: home, XDG_CACHE_HOME: home, XDG_DATA_HOME: home, TMPDIR: temporary };
  const words = ['--input-type=module', '--eval', PROGRAM, projectRoot(), model];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { env, cwd: home, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'logits\n');
  assert.deepEqual(readdirSync(home, { recursive: true }), []);
  assert.deepEqual(readdirSync(temporary).sort(), [living, foreign].map((made) => path.basename(made)).sort());
});
