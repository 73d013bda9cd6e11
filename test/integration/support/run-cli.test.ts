// What a test's command says of workers is what it gets: only a command that says nothing of them runs on those that stay up.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { openWorkspace } from '../../support/run-cli.ts';
import { workerFlagsIn } from '../../support/run-here.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';

const workspace = await openWorkspace();
let runs = 0;

before(async () => {
  await writeToyModel(workspace.path('model'), {});
  await writeRows(workspace.path('train.jsonl'), toyRows('named', { count: 16 }));
});

function words(): string[] {
  const [model, data, out] = ['model', 'train.jsonl', `out-${runs++}`].map((name) => workspace.path(name));
  return [model, '--data', data, '--budget', '0.5', '--samples', '16', '--out', out];
}

async function prune(...flags: string[]): Promise<PruneReport> {
  const [report] = await workspace.prune(...words(), ...flags);
  return report;
}

test('a command that says nothing of workers runs on one that stays up', async (t) => {
  const { workers, deviceClass } = await prune();
  assert.deepEqual([workers, deviceClass.kind], [1, 'cpu']);
  if (deviceClass.kernels === 'plain') t.diagnostic('no fused kernels: nothing tells --kernels plain apart');
});

test('--kernels are those of the report', async () => {
  const { deviceClass } = await prune('--kernels=plain');
  assert.equal(deviceClass.kernels, 'plain');
});

test('--device gpu is a GPU, or an error where there is none', async () => {
  const found = await prune('--device', 'gpu').then(
    ({ deviceClass }) => `${deviceClass.kind}`,
    (error: Error) => error.message,
  );
  assert.match(found, /^gpu$|\[engine\].*no usable GPU/);
});

test('workers that stay up refuse whatever is said of workers, and another environment', async () => {
  const flags = ['--workers', '--worker', '--device', '--kernels', '--tls-ca', '--tls-certificate', '--tls-key'];
  for (const flag of [...flags, '--insecure']) assert.deepEqual(workerFlagsIn(['prune', flag, 'x']), [flag]);
  assert.deepEqual(workerFlagsIn(['prune', '--device=cpu', '--data', 'worker']), ['--device=cpu']);
  await assert.rejects(workspace.runOnWorkers(['prune', ...words(), '--device', 'cpu']), /stay up are as they are/);
  await assert.rejects(workspace.pruneOnWorkers(2, ...words(), '--kernels', 'plain'), /stay up are as they are/);
  process.env.ESPALIER_KERNELS = 'plain';
  try {
    await assert.rejects(prune(), /variables that they were started with/);
  } finally {
    delete process.env.ESPALIER_KERNELS;
  }
});
