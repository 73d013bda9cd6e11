// Part "one": a whole job, as `espalier prune` runs it, with local workers.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import { benchSettings } from '../bench-settings.ts';
import type { WorkloadFiles } from '../gpu/workloads.ts';
import { pruningSeconds, type Run } from './figures.ts';
import { NOT_TIMED } from './not-timed.ts';

/** @returns runs after the one that warms up. */
export async function measureOne(
  workers: number,
  { definition, model, data }: WorkloadFiles,
  { folder, repeats, device }: { folder: string; repeats: number; device: string },
): Promise<Run[]> {
  const { samples, budget } = definition;
  const out = path.join(folder, 'one-out');
  const settings = {
    ...benchSettings({ model, data, out, samples, workers: `${workers}`, device, budget }),
    timing: NOT_TIMED,
  };
  const runs: Run[] = [];
  for (let repeat = -1; repeat < repeats; repeat++) {
    const before = process.cpuUsage();
    const [report] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
    const { user, system } = process.cpuUsage(before);
    await rm(out, { recursive: true });
    const { load, fisher, search, rearrange, tune } = report.seconds;
    const stages = { load, fisher, search, rearrange, tune };
    const seconds = pruningSeconds(stages);
    const computed = (report.workerTimes ?? []).flatMap((worker) => Object.values(worker.seconds));
    runs.push({
      ...{ seconds, stages, results: [report.digest], coordinatorCpuSeconds: (user + system) / 1e6 },
      busy: computed.reduce((sum, own) => sum + own, 0) / (workers * seconds),
    });
  }
  return runs.slice(1);
}
