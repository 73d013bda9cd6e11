// A workload as a whole job: coordinator, gRPC and local workers, as `espalier prune` runs it.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { USUAL_TIMING } from '../../../coordinator/job/timing-settings.ts';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { benchSettings } from '../bench-settings.ts';
import { type StageFigures, stageFigures } from './figures.ts';
import { jobSeconds } from './job-seconds.ts';
import type { WorkloadFiles } from './workloads.ts';

/** A method with what its jobs are asked for; null: the workload's own budget. Gradual pruning is for hard ones. */
const JOBS = {
  job: { method: 'paper', budget: null },
  'gradual-job': { method: 'gradual', budget: 0.3 },
} as const;

/** Speed is not timed in these jobs, and nothing is evaluated.
 * @returns the rows of `jobSeconds`, and the SHA-256 of the job's plan. */
export async function runJobs(
  { definition, model, data }: WorkloadFiles,
  kind: keyof typeof JOBS,
  options: { folder: string; repeats: number; device: string },
): Promise<{ stages: StageFigures[]; plan: string }> {
  const { folder, repeats, device } = options;
  const { samples } = definition;
  const { method } = JOBS[kind];
  const budget = JOBS[kind].budget ?? definition.budget;
  const reports: PruneReport[] = [];
  for (let repeat = -1; repeat < repeats; repeat++) {
    const out = path.join(folder, `${definition.name}-out`);
    const settings = {
      ...benchSettings({ model, data, out, samples, workers: undefined, device, budget }),
      method,
      timing: { ...USUAL_TIMING, batchSizes: [] },
    };
    const [report] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
    await rm(out, { recursive: true });
    reports.push(report);
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
