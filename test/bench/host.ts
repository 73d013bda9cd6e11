// How many operations the host issues to a GPU for each stage, counted on a CPU: BERT-base's layers and the plan and branches
// that a GPU takes, on tensors so narrow that little is computed; and the CPU time of a stage, which with few samples is the host's. A
// minute with all of them.
//   node dist/test/bench/host.js [mnli-like|squad-like [SAMPLES]]
import path from 'node:path';
import { BlobStore } from '../../shared/blobs/blob-store.ts';
import { EspalierError } from '../../shared/errors.ts';
import { Releases } from '../../shared/lifecycle.ts';
import { loadBinding, loadOps } from '../../worker/engine/binding.ts';
import { Engine, TF32_CAPABILITY } from '../../worker/engine/engine.ts';
import { FusedKernels } from '../../worker/engine/kernels/fused-kernels.ts';
import { Ops } from '../../worker/engine/ops.ts';
import { setEngineEnvironment } from '../../worker/engine-executor.ts';
import { bindingWith, goesUp } from '../support/binding-with.ts';
import { executorHere } from './gpu/executor-here.ts';
import { prepareWorkload } from './gpu/prepare-workload.ts';
import { WORKLOADS, type WorkloadName, workloadDefinition, writeWorkload } from './gpu/workloads.ts';
import { runBench } from './run-bench.ts';

/** Enough neurons that a GPU makes two panels of their products. */
const SIZES = { layers: 12, hiddenSize: 32, heads: 1, neurons: 200 };
const SAMPLES = '2048';
const TIMED_RUNS = 3;
const MEMORY_BYTES = 2e9;
const BLOB_LIMIT_BYTES = 1e9;

interface HostSettings {
  readonly workload: WorkloadName;
  readonly samples: number;
}

await runBench('host', readSettings, count);

function readSettings([name = 'mnli-like', samples = SAMPLES]: readonly string[]): HostSettings {
  const workload = WORKLOADS.find((known) => known === name);
  if (workload === undefined || !(Number(samples) >= 1))
    throw new EspalierError('usage', `got ${name} ${samples}, expected one of ${WORKLOADS.join(', ')} and a number`);
  return { workload, samples: Number(samples) };
}

async function count({ workload, samples }: HostSettings, folder: string): Promise<void> {
  setEngineEnvironment({ threads: 1, device: 'cpu' });
  const real = loadBinding();
  let [operations, uploads, downloads] = [0, 0, 0];
  const binding = bindingWith(real, {
    isUsingGpuDevice: () => true,
    executeOp(...args) {
      operations += 1;
      return real.executeOp(...args);
    },
    createTensor(...args) {
      if (goesUp(args[1])) uploads += 1;
      return real.createTensor(...args);
    },
    tensorDataSync(id) {
      downloads += 1;
      return real.tensorDataSync(id);
    },
    beginDownload(id) {
      downloads += 1;
      return real.beginDownload!(id);
    },
  });
  const { library } = loadOps();
  const engine = new Engine(binding, library && { ...library, computeCapability: () => TF32_CAPABILITY });
  const blobs = await BlobStore.open(path.join(folder, 'blobs'), { limitBytes: BLOB_LIMIT_BYTES });
  const executor = executorHere(engine, new FusedKernels(new Ops(engine)), blobs, MEMORY_BYTES);
  const releases = new Releases();
  try {
    const files = await writeWorkload(folder, workloadDefinition(workload, SIZES, samples));
    const { deviceClass } = executor.describe();
    const options = { folder, device: 'cpu' as const, deviceClass, blobs, executor };
    const { planned, tasks, gradual } = await prepareWorkload(files, options, releases);
    const { shards } = planned.plan;
    const batches = shards.reduce((sum, shard) => sum + shard.batches.length, 0);
    process.stdout.write(`${workload}: ${shards.length} shards, ${batches} micro-batches\n`);
    const stages = {
      fisher: () => tasks.fisher(),
      evaluate: () => tasks.evaluate(shards.map((_, shard) => shard)),
      tune: () => tasks.tune(),
      gradients: () => gradual.tasks.gradients(),
      refit: () => gradual.tasks.refit(),
    };
    // Weights and constants of the first run are counted, too: they are a few hundred.
    for (const [stage, run] of Object.entries(stages)) {
      if (stage === 'gradients') await gradual.tasks.prepare();
      [operations, uploads, downloads] = [0, 0, 0];
      await run();
      const counts = `${operations} operations, ${uploads} uploads, ${downloads} downloads`;
      let least = Number.POSITIVE_INFINITY;
      for (let i = 0; i < TIMED_RUNS; i++) least = Math.min(least, await cpuMilliseconds(run));
      process.stdout.write(`${stage}: ${counts}, ${least.toFixed(0)} ms of CPU\n`);
    }
  } finally {
    await releases.run();
  }
}

async function cpuMilliseconds(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
