// A whole job on the GPU: again, and split between two workers that share it, the same bits; with either kind of kernels.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { LocalCluster } from '../../coordinator/workers/local-cluster.ts';
import { openWorkspace } from '../support/run-cli.ts';
import { toyRows, writeRows } from '../support/toy-data.ts';
import { writeToyModel } from '../support/toy-model.ts';
import { requireGpu, testedDevice } from './require-gpu.ts';

requireGpu();
const workspace = await openWorkspace();
const device = testedDevice();
const at = (name: string) => workspace.path(name);

before(async () => {
  await writeToyModel(at('model'), { layers: 3, hidden: 48, heads: 4, neurons: 96 });
  await writeRows(at('train.jsonl'), toyRows('pair', { count: 500 }));
  await writeRows(at('dev.jsonl'), toyRows('pair', { count: 100, seed: 1 }));
});

async function prune(out: string, ...flags: string[]): Promise<PruneReport[]> {
  const files = ['--data', at('train.jsonl'), '--eval', at('dev.jsonl'), '--out', at(out)];
  return workspace.prune(
    at('model'),
    ...files,
    '--budget',
    '0.4,0.7',
    '--samples',
    '256',
    '--method',
    'paper',
    ...flags,
  );
}

for (const kernels of ['plain', 'fused'] as const)
  test(`${kernels} kernels: one worker, the same again, and two workers`, async () => {
    const local = ['--workers', '1', '--device', device, '--kernels', kernels];
    const one = await prune(`${kernels}-one`, ...local);
    const again = await prune(`${kernels}-again`, ...local);
    // Local workers have a GPU each; these two have the first one together.
    const [gpu] = (process.env.CUDA_VISIBLE_DEVICES ?? '0').split(',');
    const env = () => ({ CUDA_VISIBLE_DEVICES: gpu });
    const cluster = await LocalCluster.start({ count: 2, blobDir: at('blobs'), device, kernels, env });
    try {
      const flags = cluster.addresses.flatMap((address) => ['--worker', address]);
      const two = await prune(`${kernels}-two`, ...flags);
      assert.deepEqual(
        [one, again, two].map(([{ workers }]) => workers),
        [1, 1, 2],
      );
      assert.deepEqual([one[0].deviceClass.kind, one[0].deviceClass.kernels], [device, kernels]);
      for (const reports of [again, two]) {
        assert.deepEqual(reports.map(result), one.map(result));
        assert.ok(
          reports[0].workerTimes!.every(({ tasks }) => tasks > 0),
          'every worker took part',
        );
      }
      assert.notEqual(one[0].digest, one[1].digest);
    } finally {
      await cluster.close();
    }
  });

/** What of a report may not depend on where and when the job ran. */
function result({ digest, plan, scores, importance, tuning, heads, neurons, deviceClass }: PruneReport): object {
  return { digest, plan, scores, importance, tuning, heads, neurons, deviceClass };
}
