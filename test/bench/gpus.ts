// How many times as fast several GPUs are as one, one worker process a GPU, on models of BERT-base's shape with random
// weights: a queue of MNLI-like jobs through NATS, coordinator and workers, and one SQuAD-like job with local workers.
// Only pruning counts: no job evaluates, and none measures the speed of what it has written; what a queue takes has the load
// of inputs and the writing of results in it. docs/performance.md says more.
//   npm run bench:gpus [-- --parts queue,one --gpus 2 --device gpu|cpu --jobs 8 --repeats 3 --samples 2048
//     --layers 12 --hidden 768 --heads 12 --neurons 3072 --json FILE --check]
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { EspalierError } from '../../shared/errors.ts';
import { machineName } from '../../worker/device.ts';
import { workloadDefinition, writeWorkload } from './gpu/workloads.ts';
import { faultsOf, type GpusFigures, type Part, type PartFigures, type Run, workersFigures } from './gpus/figures.ts';
import { measureOne } from './gpus/one.ts';
import { measureQueue } from './gpus/queue.ts';
import { type GpusBenchSettings, parseGpusBench } from './gpus/settings.ts';
import { partText } from './gpus/table.ts';
import { runBench } from './run-bench.ts';

const say = (text: string) => process.stdout.write(`${text}\n`);

const WORKLOAD_OF = { queue: 'mnli-like', one: 'squad-like' } as const;

await runBench('gpus', parseGpusBench, bench);

async function bench(settings: GpusBenchSettings, folder: string): Promise<void> {
  const { device, repeats } = settings;
  // Weights go into a cache that ends with the benchmark.
  process.env.XDG_CACHE_HOME = path.join(folder, 'cache');
  const machine = machineName(device);
  say(`${machine}: ${device}`);
  const parts: PartFigures[] = [];
  for (const part of settings.parts) {
    parts.push(await measurePart(part, settings, folder));
    say(`\n${partText(parts[parts.length - 1], repeats)}`);
    const figures: GpusFigures = { schema: 1, machine, device, repeats, parts };
    // After each part: what was measured stays when the next one is cut off.
    if (settings.json !== null) await writeFile(settings.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  if (!settings.check) return;
  const faults = parts.flatMap(faultsOf);
  for (const fault of faults) process.stderr.write(`too slow: ${fault}\n`);
  if (faults.length > 0) process.exitCode = 1;
  else say('\nchecked: two workers are as many times as fast as they have to be');
}

/** @throws EspalierError "internal" where another number of workers gives other results. */
async function measurePart(part: Part, settings: GpusBenchSettings, folder: string): Promise<PartFigures> {
  const { device, gpus, repeats, samples, sizes } = settings;
  const files = await writeWorkload(folder, workloadDefinition(WORKLOAD_OF[part], sizes, samples));
  const jobs = part === 'queue' ? settings.jobs : 1;
  const runs: Run[][] = [];
  for (let workers = 1; workers <= gpus; workers++) {
    runs.push(
      part === 'queue'
        ? await measureQueue(workers, files, { jobs, repeats, device })
        : await measureOne(workers, files, { folder, repeats, device }),
    );
    const [one, last] = [runs[0], runs[runs.length - 1]].map((own) =>
      JSON.stringify(own.map(({ results }) => results)),
    );
    if (one !== last)
      throw new EspalierError('internal', `${part}: ${workers} workers gave other results than one, expected the same`);
  }
  const byWorkers = runs.map((own, i) => workersFigures(i + 1, own));
  return { part, jobs, model: files.definition.model, samples, byWorkers };
}
