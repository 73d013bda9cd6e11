// A workload as a whole job: coordinator, gRPC and a worker, as `espalier prune` runs it.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { openBlobCache } from '../../../coordinator/job/blob-cache.ts';
import { USUAL_TIMING } from '../../../coordinator/job/timing-settings.ts';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { LocalCluster, type LocalClusterOptions } from '../../../coordinator/workers/local-cluster.ts';
import { benchSettings } from '../bench-settings.ts';
import { type StageFigures, stageFigures } from './figures.ts';
import { jobSeconds } from './job-seconds.ts';
import type { WorkloadFiles } from './workloads.ts';

/** A method with what its jobs are asked for; null: the workload's own budget. Gradual pruning is for hard ones. `stays`: jobs have one
 * worker, which is up before the first, and in all but the first has the model. */
const JOBS = {
  job: { method: 'paper', budget: null, stays: false },
  'gradual-job': { method: 'gradual', budget: 0.3, stays: false },
  'next-job': { method: 'paper', budget: null, stays: true },
  'next-gradual-job': { method: 'gradual', budget: 0.3, stays: true },
} as const;

/** Longer than a worker waits before its warm-up, and that takes. */
const WARM_MS = 3_000;

/** Speed is not timed in these jobs, and nothing is evaluated.
 * @returns the rows of `jobSeconds`, and the SHA-256 of the job's plan. */
export async function runJobs(
  { definition, model, data }: WorkloadFiles,
  kind: keyof typeof JOBS,
  options: { folder: string; repeats: number; device: string },
): Promise<{ stages: StageFigures[]; plan: string }> {
  const { folder, repeats, device } = options;
  const { samples } = definition;
  const { method, stays } = JOBS[kind];
  const budget = JOBS[kind].budget ?? definition.budget;
  const reports: PruneReport[] = [];
  const out = path.join(folder, `${definition.name}-out`);
  const usual = benchSettings({ model, data, out, samples, workers: undefined, device, budget });
  const standing = stays ? await standingWorker(usual.workers.device) : null;
  try {
    for (let repeat = -1; repeat < repeats; repeat++) {
      const settings = {
        ...usual,
        ...(standing && { workers: { ...usual.workers, local: 0, addresses: standing.addresses } }),
        method,
        timing: { ...USUAL_TIMING, batchSizes: [] },
      };
      const [report] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
      await rm(out, { recursive: true });
      reports.push(report);
    }
  } finally {
    await standing?.close();
  }
  const [first] = reports;
  const tokens = Math.round(first.macsLength * first.samples);
  const runs = reports.map(jobSeconds);
  const stages = Object.keys(runs[0]).map((row) =>
    stageFigures(
      `${kind} ${row}`,
      runs.map((run) => run[row] ?? 0),
      { tokens: row === 'pruning' ? tokens : null, teraflop: null },
    ),
  );
  return { stages, plan: first.plan };
}

/** Up, and warm: its warm-up goes on where it has been idle for a second. */
async function standingWorker(device: LocalClusterOptions['device']): Promise<LocalCluster> {
  const { folder } = await openBlobCache();
  const worker = await LocalCluster.start({ count: 1, blobDir: folder, device });
  await setTimeout(WARM_MS);
  return worker;
}
